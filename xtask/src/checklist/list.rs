//! The list of behaviours: ids in groups, each with what should hold, and why nobody checks it where nobody does.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use toml::{Table, Value};

/// The whole list.
#[derive(Debug)]
pub struct List {
    /// In the order of the file.
    pub groups: Vec<Group>,
}

/// Behaviours of one kind.
#[derive(Debug)]
pub struct Group {
    /// What its ids begin with.
    pub letters: String,
    /// What they are about.
    pub title: String,
    /// By id.
    pub ids: BTreeMap<String, Entry>,
}

/// A behaviour.
#[derive(Debug)]
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
    /// Reads the list; a key that means nothing, a sentence that is empty and an id of another group are refused.
    pub fn parse(text: &str) -> anyhow::Result<List> {
        let mut table: Table = text.parse()?;
        let Some(Value::Array(groups)) = table.remove("group") else { bail!("there is no [[group]]") };
        nothing_else(&table)?;
        let groups = groups.into_iter().map(group).collect::<anyhow::Result<_>>()?;
        let list = List { groups };
        let ids: Vec<&str> = list.entries().map(|(id, _)| id).collect();
        let twice = ids.iter().enumerate().find(|(at, id)| ids[..*at].contains(id));
        ensure!(twice.is_none(), "{} stands in two groups", twice.map_or("", |(_, id)| id));
        Ok(list)
    }

    /// Every behaviour with its id.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.groups.iter().flat_map(|group| group.ids.iter().map(|(id, entry)| (id.as_str(), entry)))
    }
}

fn group(value: Value) -> anyhow::Result<Group> {
    let Value::Table(mut table) = value else { bail!("a group is a table") };
    let letters = sentence(&mut table, "letters")?.context("a group has no `letters`")?;
    let title = sentence(&mut table, "title")?.with_context(|| format!("the group {letters} has no `title`"))?;
    let Some(Value::Table(entries)) = table.remove("ids") else { bail!("the group {letters} has no [group.ids]") };
    nothing_else(&table).with_context(|| format!("the group {letters}"))?;
    let mut ids = BTreeMap::new();
    for (id, value) in entries {
        let number = id.strip_prefix(&letters).and_then(|rest| rest.strip_prefix('-'));
        let number = number.with_context(|| format!("{id} stands among the ids of {letters}"))?;
        let is_number = number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit());
        ensure!(is_number, "{id} does not end with two digits");
        let entry = entry(value).with_context(|| id.clone())?;
        ids.insert(id, entry);
    }
    Ok(Group { letters, title, ids })
}

fn entry(value: Value) -> anyhow::Result<Entry> {
    let Value::Table(mut table) = value else { bail!("is no table") };
    let entry = Entry {
        title: sentence(&mut table, "title")?.context("has no `title`")?,
        open: sentence(&mut table, "open")?,
        out: sentence(&mut table, "out")?,
        lacks: sentence(&mut table, "lacks")?,
    };
    nothing_else(&table)?;
    Ok(entry)
}

/// Takes out what is said under the key, if anything is.
fn sentence(table: &mut Table, key: &str) -> anyhow::Result<Option<String>> {
    match table.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() && !text.contains(['|', '\n']) => Ok(Some(text)),
        Some(_) => bail!("`{key}` is one line of text, without a bar, which would end it in a table"),
    }
}

fn nothing_else(table: &Table) -> anyhow::Result<()> {
    let key = table.keys().next();
    ensure!(key.is_none(), "there is no key `{}`", key.map_or("", String::as_str));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::List;

    fn refused(text: &str) -> String {
        format!("{:#}", List::parse(text).unwrap_err())
    }

    fn refused_ids(ids: &str) -> String {
        refused(&format!("[[group]]\nletters = 'AB'\ntitle = 'a'\n[group.ids]\n{ids}\n"))
    }

    #[test]
    fn a_list_that_is_wrong_is_refused_by_what_is_wrong() {
        assert!(refused_ids("A-01 = { title = 'x' }").contains("A-01 stands among the ids of AB"));
        assert!(refused_ids("AB-1 = { title = 'x' }").contains("AB-1 does not end with two digits"));
        assert!(refused_ids("AB-01 = { title = ' ' }").contains("AB-01: `title` is one line"));
        assert!(refused_ids("AB-01 = { title = 'x', out = 'a|b' }").contains("AB-01: `out` is one line"));
        assert!(refused_ids("AB-01 = { title = 'x', outt = 'y' }").contains("AB-01: there is no key `outt`"));
        assert!(refused_ids("AB-01 = { out = 'y' }").contains("AB-01: has no `title`"));
        assert!(refused_ids("AB-01 = { title = 'x' }\nAB-01 = { title = 'y' }").contains("duplicate key"));
        assert!(refused_ids("AB-01 = 'x'").contains("AB-01: is no table"));
        assert!(refused("").contains("there is no [[group]]"));
        let group = "[[group]]\nletters = 'A'\ntitle = 'a'\n[group.ids]\nA-01 = { title = 'x' }\n";
        assert!(refused(&format!("{group}{group}")).contains("A-01 stands in two groups"));
        assert!(refused(&format!("other = 1\n{group}")).contains("there is no key `other`"));
    }
}
