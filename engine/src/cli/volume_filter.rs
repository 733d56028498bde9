//! `--filter` of `volume ls` and `volume prune`: which volumes are meant. Several values of one kind widen, several kinds narrow.

use std::collections::BTreeMap;

use super::messages::Failure;
use crate::container::Volume;
use crate::container::config::LOCAL;

/// One `name=value`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    let (kind, value) = text.split_once('=').ok_or("bad format of filter (expected name=value)")?;
    Ok((kind.trim().to_lowercase(), value.trim().to_owned()))
}

/// What has been asked for.
#[derive(Debug, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Takes the pairs that were given; `known` are the kinds that the verb takes.
    pub fn new(pairs: Vec<(String, String)>, known: &[&str]) -> Result<Filters, Failure> {
        let refused = |what: &str| Failure::new(format!("Error response from daemon: Invalid filter '{what}'"));
        let mut filters: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (kind, value) in pairs {
            if !known.contains(&kind.as_str()) {
                return Err(refused(&kind));
            }
            if kind == "dangling" && truth(&value).is_none() {
                return Err(refused(&format!("{kind}={value}")));
            }
            filters.entry(kind).or_default().push(value);
        }
        Ok(Filters(filters))
    }

    /// Whether `volume` is one of those asked for; `is_used`: a container has it.
    pub fn fit(&self, volume: &Volume, is_used: bool) -> bool {
        let has_label = |wanted: &String| {
            let (name, value) =
                wanted.split_once('=').map_or((wanted.as_str(), None), |(name, value)| (name, Some(value)));
            let found = volume.labels.as_ref().and_then(|labels| labels.get(name));
            found.is_some_and(|found| value.is_none_or(|value| value == found))
        };
        let fits = |kind: &str, values: &Vec<String>| match kind {
            "name" => values.iter().any(|part| volume.name.contains(part.as_str())),
            "driver" => values.iter().any(|driver| LOCAL.contains(driver.as_str())),
            "dangling" => values.iter().any(|value| truth(value) == Some(!is_used)),
            // Docker wants all of them.
            "label" => values.iter().all(has_label),
            "label!" => !values.iter().any(has_label),
            _ => false,
        };
        self.0.iter().all(|(kind, values)| fits(kind, values))
    }
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_a_kind_widen_and_kinds_narrow() {
        let labels = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        let volume =
            Volume { name: "v1".to_owned(), data: "/v1".into(), created: Default::default(), labels, options: None };
        let fits = |texts: &[&str]| {
            let pairs = texts.iter().map(|text| pair(text).unwrap()).collect();
            Filters::new(pairs, &["name", "dangling", "label", "label!", "driver"]).unwrap().fit(&volume, false)
        };
        for (texts, expected) in [
            (vec![], true),
            (vec!["name=1", "name=x"], true),
            (vec!["name=1", "dangling=false"], false),
            (vec!["dangling=1", "driver=local"], true),
            (vec!["label=a"], true),
            (vec!["label=a=c"], false),
            (vec!["label!=a=c"], true),
            (vec!["label!=a"], false),
        ] {
            assert_eq!(fits(&texts), expected, "{texts:?}");
        }
        let wrong = Filters::new(vec![pair("dangling=maybe").unwrap()], &["dangling"]).unwrap_err();
        assert_eq!(wrong.text, "Error response from daemon: Invalid filter 'dangling=maybe'");
        assert_eq!(pair("bad").unwrap_err(), "bad format of filter (expected name=value)");
    }
}
