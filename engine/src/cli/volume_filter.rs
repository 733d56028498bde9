//! `--filter` of `volume ls` and `volume prune`: which volumes are meant. Several values of one kind widen, several kinds narrow.

use std::collections::BTreeMap;

use super::filters::{Filter, has_label, invalid};
use super::messages::Failure;
use crate::container::Volume;
use crate::container::config::LOCAL;

/// What has been asked for.
#[derive(Debug, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Sorts `filters`; `known` are the kinds that the verb takes.
    pub fn new(filters: &[Filter], known: &[&str]) -> Result<Filters, Failure> {
        let mut sorted = Filters::default();
        for Filter { kind, value } in filters {
            if !known.contains(&kind.as_str()) {
                return Err(invalid(kind));
            }
            if kind == "dangling" && truth(value).is_none() {
                return Err(invalid(&format!("{kind}=[{value}]")));
            }
            sorted.0.entry(kind.clone()).or_default().push(value.clone());
        }
        Ok(sorted)
    }

    /// Whether `volume` is one of those asked for; `is_used`: a container has it.
    pub fn fit(&self, volume: &Volume, is_used: bool) -> bool {
        let has_label = |wanted: &String| has_label(volume.labels.as_ref(), wanted);
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
    use crate::cli::filters::filter;

    #[test]
    fn values_of_a_kind_widen_and_kinds_narrow() {
        let labels = Some(BTreeMap::from([("a".to_owned(), "b".to_owned())]));
        let volume =
            Volume { name: "v1".to_owned(), data: "/v1".into(), created: Default::default(), labels, options: None };
        let fits = |texts: &[&str]| {
            let given: Vec<_> = texts.iter().map(|text| filter(text).unwrap()).collect();
            Filters::new(&given, &["name", "dangling", "label", "label!", "driver"]).unwrap().fit(&volume, false)
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
        let wrong = Filters::new(&[filter("dangling=maybe").unwrap()], &["dangling"]).unwrap_err();
        assert_eq!(wrong.text, "Error response from daemon: Invalid filter 'dangling=[maybe]'");
    }
}
