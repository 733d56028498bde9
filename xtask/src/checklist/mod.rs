//! `cargo xtask checklist`: which behaviour of container storage is checked by what, written as a table.
//!
//! *Why*: that a law is green says nothing of what no law looks at. *Holds*: each id of `scenarios/checklist.toml` is named by a
//! law, a test or a page, or says why not. *Never*: an id is named that does not exist, or that is said to be unchecked.
//! *Proved by*: the tests below, one of which compares `snapshots/checklist.md` with the tree.

mod list;
mod names;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::{Verb, call};
use list::{Entry, List};
use names::Name;

pub const VERB: Verb = Verb {
    name: "checklist",
    summary: "write the table of what is checked by which law, test or page; --check only compares",
    run,
};

/// The list of ids, below the root of the workspace.
const LIST: &str = "scenarios/checklist.toml";
/// The table, below the root of the workspace.
const TABLE: &str = "snapshots/checklist.md";

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let checks_only = match arguments {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("what is meant by {arguments:?}? checklist takes --check only"),
    };
    let root = call::root();
    if checks_only {
        check(&root)?;
    } else {
        fs::write(root.join(TABLE), written(&root)?).with_context(|| format!("cannot write {TABLE}"))?;
        println!("{TABLE}");
    }
    Ok(0)
}

/// Whether the table is what the tree says.
fn check(root: &Path) -> anyhow::Result<()> {
    let kept = fs::read_to_string(root.join(TABLE)).with_context(|| format!("cannot read {TABLE}"))?;
    ensure!(kept == written(root)?, "{TABLE} is not what the tree says: run `cargo xtask checklist`, and commit it");
    Ok(())
}

/// The table as the tree says it now.
fn written(root: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let list = List::parse(&text).with_context(|| format!("cannot understand {LIST}"))?;
    let names = names::below(root)?;
    let faults = faults(&list, &names);
    ensure!(faults.is_empty(), "{LIST} and what names its ids do not agree:\n  {}", faults.join("\n  "));
    Ok(table::of(&list, &names))
}

/// What is wrong with the names that are given, a line each.
fn faults(list: &List, names: &[Name]) -> Vec<String> {
    let entries: BTreeMap<&str, &Entry> = list.entries().collect();
    let unknown = names.iter().filter(|name| !entries.contains_key(name.id.as_str()));
    let unknown = unknown.map(|name| format!("{}: there is no {}", name.place(), name.id));
    let wrong = entries.iter().filter_map(|(id, entry)| {
        let those: Vec<&Name> = names.iter().filter(|name| name.id == *id).collect();
        let is_partial = those.iter().all(|name| name.is_partial);
        match (those.first(), &entry.open, &entry.out, &entry.lacks) {
            (None, Some(_), None, None) | (None, None, Some(_), None) => None,
            (Some(_), None, None, Some(_)) if is_partial => None,
            (Some(_), None, None, None) if !is_partial => None,
            (None, None, None, _) => Some(format!("{id}: nobody names it: say `open` or `out`, and why")),
            (Some(_), None, None, None) => Some(format!("{id}: is checked in part only: say what it `lacks`")),
            (Some(name), None, None, Some(_)) => Some(format!("{id}: lacks nothing, {} checks it all", name.place())),
            (Some(name), ..) => Some(format!("{id}: is said to be unchecked, and {} checks it", name.place())),
            (None, ..) => Some(format!("{id}: say one of `open` and `out`, and of the unchecked no `lacks`")),
        }
    });
    unknown.chain(wrong).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn name(id: &str, is_partial: bool) -> Name {
        Name { id: id.to_owned(), is_partial, path: PathBuf::from("engine/tests/a.rs"), function: None }
    }

    fn found(entry: &str, names: &[Name]) -> Vec<String> {
        let text = format!("[[group]]\nletters = 'A'\ntitle = 'a'\n[group.ids]\nA-01 = {{ title = 'x'{entry} }}\n");
        faults(&List::parse(&text).unwrap(), names)
    }

    #[test]
    fn the_table_is_what_the_tree_says() {
        if let Err(error) = check(&call::root()) {
            panic!("{error:#}");
        }
    }

    #[test]
    fn an_id_is_named_or_excused_and_never_both() {
        let (whole, part) = (name("A-01", false), name("A-01", true));
        for (entry, names, fault) in [
            ("", vec![], Some("nobody names it")),
            (", open = 'why'", vec![], None),
            (", out = 'why'", vec![], None),
            (", open = 'why', out = 'why'", vec![], Some("say one of")),
            (", open = 'why', lacks = 'more'", vec![], Some("say one of")),
            (", open = 'why'", vec![whole.clone()], Some("said to be unchecked, and engine/tests/a.rs")),
            (", out = 'why'", vec![part.clone()], Some("said to be unchecked")),
            ("", vec![whole.clone()], None),
            ("", vec![part.clone()], Some("checked in part only")),
            (", lacks = 'more'", vec![part.clone()], None),
            (", lacks = 'more'", vec![part.clone(), whole.clone()], Some("lacks nothing")),
            ("", vec![part, whole], None),
        ] {
            let found = found(entry, &names);
            assert_eq!(found.len(), fault.iter().len(), "{entry}: {found:?}");
            assert!(fault.is_none_or(|fault| found[0].contains(fault)), "{entry}: {found:?}");
        }
    }

    #[test]
    fn an_id_that_is_not_in_the_list_is_told_with_who_names_it() {
        assert_eq!(found(", open = 'why'", &[name("A-02", false)]), ["engine/tests/a.rs: there is no A-02"]);
    }
}
