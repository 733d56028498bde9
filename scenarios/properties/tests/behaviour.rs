//! `snapshots/behaviour.md` tells of every subject of ours and of others that there is, of the kernel and of versions; every page that a cell leads to is there.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;

use layerlab_properties::finding;
use layerlab_properties::subjects::program::foreigners;
use layerlab_properties::table;
use layerlab_scenarios::lab::prepare::workspace_root;

const AGAIN: &str = "write it anew as root: cargo xtask laws --all --minutes 60 --write";

#[test]
fn the_behaviour_table_tells_of_every_subject_and_leads_to_pages_that_are_there() {
    let text = fs::read_to_string(workspace_root().join("snapshots/behaviour.md")).unwrap();
    let heads = text.lines().filter(|line| line.starts_with("| behaviour |"));
    let told: BTreeSet<&str> = heads.flat_map(|line| line.split('|').map(str::trim)).collect();
    let ours = table::names().into_iter().flat_map(|(_, subjects)| subjects);
    for subject in ours.chain(foreigners().map(str::to_owned)) {
        assert!(told.contains(&*subject), "{subject}: {AGAIN}");
    }
    assert!(
        text.contains("\n## Kernel ") && text.contains(" --minutes ") && text.contains("\n## Versions\n"),
        "{AGAIN}"
    );
    let pages: BTreeSet<String> = finding::all().unwrap().into_iter().map(|finding| finding.name).collect();
    let links: BTreeSet<&str> = text.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(!links.is_empty() && links.iter().all(|link| pages.contains(*link)), "{links:?}: {AGAIN}");
}
