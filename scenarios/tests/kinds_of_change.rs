//! Every kind of change that was recorded of a real dockerd is replayed by a page, which asks for its `docker diff`.
//!
//! The list is `scenarios/cases/diff/kinds.txt`: a kind, its pages, and what a container does there, a line each.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use layerlab_scenarios::page::Page;

/// As many as the recording has.
const KINDS: usize = 74;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/diff")
}

/// What a page types, a step each.
fn typed(page: &str) -> Vec<String> {
    let page = Page::read(folder().join(format!("{page}.md"))).unwrap();
    page.steps().map(|step| step.command.iter().map(|line| format!("{}\n", line.source)).collect()).collect()
}

#[test]
fn every_kind_of_change_is_on_its_pages() {
    let text = std::fs::read_to_string(folder().join("kinds.txt")).unwrap();
    let mut kinds = BTreeSet::new();
    let mut pages = BTreeSet::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [kind, on, words] = line.splitn(3, ": ").collect::<Vec<_>>()[..] else { panic!("{line}") };
        assert!(kinds.insert(kind.to_owned()), "{kind} is listed twice");
        for page in on.split(", ") {
            let typed = typed(page);
            let at = typed.iter().position(|step| step.starts_with("docker run") && step.contains(words));
            let at = at.unwrap_or_else(|| panic!("{kind}: no container of {page} does {words}"));
            let is_asked =
                typed[at..].iter().any(|step| step.starts_with("docker diff")) || typed[at].contains("mknod");
            assert!(is_asked, "{kind}: {page} does not ask what changed");
            pages.insert(page.to_owned());
        }
    }
    assert_eq!(kinds.len(), KINDS);
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let there = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let there: BTreeSet<String> = there.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(pages, there, "every page of the folder shows a kind");
}
