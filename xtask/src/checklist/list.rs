//! The list of behaviours: ids in groups, each with what should hold, and why nobody checks it where nobody does.

use std::collections::BTreeMap;

use anyhow::{Context, ensure};
use serde::Deserialize;

/// The whole list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// In the order of the file.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
}

/// Behaviours of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What its ids begin with.
    pub letters: String,
    /// What they are about.
    pub title: String,
    /// By id.
    pub ids: BTreeMap<String, Entry>,
}

/// A behaviour.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What should hold.
    pub title: String,
    /// It should be checked here, and is not yet: what is wanting.
    pub open: Option<String>,
    /// It will never be checked here: why.
    pub out: Option<String>,
    /// It is checked in part: what is wanting.
    pub lacks: Option<String>,
}

impl List {
    /// Reads the list; a sentence that is empty or an id of another group is refused.
    pub fn parse(text: &str) -> anyhow::Result<List> {
        let list: List = toml::from_str(text)?;
        for group in &list.groups {
            for (id, entry) in &group.ids {
                let number = id.strip_prefix(&group.letters).and_then(|rest| rest.strip_prefix('-'));
                let number = number.with_context(|| format!("{id} stands among the ids of {}", group.letters))?;
                let is_number = number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit());
                ensure!(is_number, "{id} does not end with two digits");
                let sentences = [Some(&entry.title), entry.open.as_ref(), entry.out.as_ref(), entry.lacks.as_ref()];
                let is_said =
                    sentences.into_iter().flatten().all(|said| !said.trim().is_empty() && !said.contains('|'));
                ensure!(is_said, "a sentence of {id} is empty, or holds a bar, which would end it in a table");
            }
        }
        let ids = list.entries().count();
        let distinct = list.entries().collect::<BTreeMap<_, _>>().len();
        ensure!(ids == distinct, "an id stands in two groups");
        Ok(list)
    }

    /// Every behaviour with its id.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.groups.iter().flat_map(|group| group.ids.iter().map(|(id, entry)| (id.as_str(), entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::List;

    fn refused(ids: &str) -> String {
        let text = format!("[[group]]\nletters = 'AB'\ntitle = 'a'\n[group.ids]\n{ids}\n");
        format!("{:#}", List::parse(&text).unwrap_err())
    }

    #[test]
    fn a_list_that_is_wrong_is_refused_by_what_is_wrong() {
        assert!(refused("A-01 = { title = 'x' }").contains("A-01 stands among the ids of AB"));
        assert!(refused("AB-1 = { title = 'x' }").contains("two digits"));
        assert!(refused("AB-01 = { title = ' ' }").contains("AB-01 is empty"));
        assert!(refused("AB-01 = { title = 'x', out = 'a|b' }").contains("a bar"));
        assert!(refused("AB-01 = { title = 'x', outt = 'y' }").contains("outt"));
        assert!(refused("AB-01 = { title = 'x' }\nAB-01 = { title = 'y' }").contains("duplicate key"));
    }
}
