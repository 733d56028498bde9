//! No command of a source document is missing from its page.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use layerlab_scenarios::page::Page;
use layerlab_scenarios::skip::skip;
use regex::Regex;

static PROMPTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^(?:[#$]|\S+@\S+[#$]) +(.*\S)\s*$").unwrap());
/// An id as the documents write it: its first digits and dots.
static ABBREVIATED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[0-9a-f]{8}\.\.\.").unwrap());
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\[\[[a-z0-9-]+\]\]").unwrap());

fn walkthroughs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("walkthroughs")
}

/// The documents' commands, each page beside its list.
fn lists() -> Vec<(Page, Vec<String>)> {
    let files = std::fs::read_dir(walkthroughs()).unwrap().map(|entry| entry.unwrap().path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let with_list = |path: PathBuf| {
        let list = path.with_extension("commands");
        let text = std::fs::read_to_string(&list).unwrap_or_else(|error| panic!("{}: {error}", list.display()));
        (Page::read(path).unwrap(), text.lines().map(str::to_owned).collect())
    };
    pages.map(with_list).collect()
}

/// Finds every command among the page's, in order; the error names the first that is missing or contradicts itself.
fn missing(document: &[String], page: &[String]) -> Result<(), String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut at = 0;
    for command in document {
        let found = page[at..].iter().position(|typed| is_same(command, typed));
        at += found.ok_or_else(|| format!("'{command}' is no step of the page (after step {at})"))? + 1;
        let ids = ABBREVIATED.find_iter(command).zip(NAME.find_iter(&page[at - 1]));
        for (id, name) in ids.map(|(id, name)| (id.as_str().to_owned(), name.as_str().to_owned())) {
            if names.iter().any(|(known, stands_for)| (*known == id) != (*stands_for == name)) {
                return Err(format!("step {at}: {id} is {name} here, and not elsewhere"));
            }
            names.insert(id, name);
        }
    }
    Ok(())
}

fn is_same(command: &str, typed: &str) -> bool {
    // The one unfinished command: the document leaves out whose contents are shown.
    (command == "cat" && typed.starts_with("cat /"))
        || ABBREVIATED.replace_all(command, "*") == NAME.replace_all(typed, "*")
}

/// Whether two commands of the document differ in their IDs only.
fn is_alike(one: &str, other: &str) -> bool {
    ABBREVIATED.replace_all(one, "*") == ABBREVIATED.replace_all(other, "*")
}

fn commands_of(document: &str) -> Vec<String> {
    document.lines().filter_map(|line| PROMPTED.captures(line)).map(|found| found[1].to_owned()).collect()
}

fn typed(page: &Page) -> Vec<String> {
    page.steps().map(layerlab_scenarios::page::Step::command_text).collect()
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(ToString::to_string).collect()
}

#[test]
fn every_command_of_the_document_is_a_step_of_the_page_in_order() {
    let lists = lists();
    assert!(!lists.is_empty());
    for (page, document) in lists {
        assert!(!document.is_empty(), "{} has no commands", page.name());
        if let Err(what) = missing(&document, &typed(&page)) {
            panic!("{}: {what}", page.path.display());
        }
    }
}

#[test]
fn a_page_that_leaves_out_any_one_step_of_the_document_is_noticed() {
    for (page, document) in lists() {
        let all = typed(&page);
        for command in document.iter().filter(|command| *command != "cat") {
            let demanded = document.iter().filter(|other| is_alike(other, command)).count();
            let places: Vec<usize> = (0..all.len()).filter(|at| is_same(command, &all[*at])).collect();
            let surplus = places.len() - demanded;
            for left_out in &places {
                // A step that the page has more often than the document could stand in for the one left out.
                let others = places.iter().rev().filter(|other| *other != left_out);
                let gone: Vec<&usize> = others.take(surplus).chain([left_out]).collect();
                let without: Vec<String> =
                    (0..all.len()).filter(|at| !gone.contains(&at)).map(|at| all[at].clone()).collect();
                assert!(
                    missing(&document, &without).is_err(),
                    "nobody missed '{command}' without step {}",
                    left_out + 1
                );
            }
        }
    }
}

#[test]
fn order_and_names_count() {
    assert!(missing(&owned(&["a", "b"]), &owned(&["x", "a", "y", "b"])).is_ok());
    assert!(missing(&owned(&["a", "b"]), &owned(&["b", "a"])).unwrap_err().contains("'b' is no step"));
    let document = owned(&["cat /o/2de088e9.../x", "cat /o/b9c65fdc.../x"]);
    assert!(missing(&document, &owned(&["cat /o/[[a]]/x", "cat /o/[[b]]/x"])).is_ok());
    assert!(
        missing(&document, &owned(&["cat /o/[[a]]/x", "cat /o/[[a]]/x"])).unwrap_err().contains("and not elsewhere")
    );
    let twice = owned(&["cat /o/2de088e9.../x", "cat /o/2de088e9.../x"]);
    assert!(missing(&twice, &owned(&["cat /o/[[a]]/x", "cat /o/[[b]]/x"])).unwrap_err().contains("and not elsewhere"));
}

#[test]
fn the_list_of_commands_is_the_documents() {
    let Some(documents) = std::env::var_os("LAYERLAB_DOCUMENTS").map(PathBuf::from) else {
        skip("documents", "LAYERLAB_DOCUMENTS does not name the directory of the source documents");
        return;
    };
    for (page, listed) in lists() {
        let source = page.source.clone().unwrap_or_else(|| panic!("{} names no source", page.path.display()));
        let path = documents.join(source);
        let document = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(commands_of(&document), listed, "{} against {}", page.name(), path.display());
    }
}
