//! `snapshots/laws.md` has a row for each law and a column for each subject, and nothing in it is broken. What came of them is held by the
//! campaigns.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;

use layerlab_properties::table;
use layerlab_scenarios::lab::prepare::workspace_root;

const AGAIN: &str = "write it anew as root: cargo xtask laws --table";

/// The cells of a line.
fn cells(line: &str) -> Vec<&str> {
    line.trim_matches('|').split('|').map(str::trim).collect()
}

#[test]
fn the_table_has_every_law_and_every_subject_and_nothing_is_broken() {
    let text = fs::read_to_string(workspace_root().join("snapshots/laws.md")).unwrap();
    let tables = text.split("\n## ").filter(|part| part.contains("\n| law |"));
    let tables: Vec<Vec<Vec<&str>>> =
        tables.map(|part| part.lines().filter(|line| line.starts_with('|')).map(cells).collect()).collect();
    assert_eq!(tables.len(), table::names().len(), "{AGAIN}");
    let reasons = text.split("\n## Reasons\n").nth(1).unwrap();
    // A subject is asked on every file system, but for drivers that are btrfs's alone.
    let not_asked = text.split("\n## Not asked\n").nth(1).unwrap().split("\n## ").next().unwrap();
    for line in not_asked.lines().filter_map(|line| line.strip_prefix("- ")) {
        let is_btrfs = line.contains("-btrfs on ") && line.contains(": it would need the data root on btrfs, ");
        assert!(is_btrfs, "{line}: {AGAIN}");
    }
    for (table, (laws, subjects)) in tables.iter().zip(table::names()) {
        assert_eq!(table[0][1..], subjects, "{AGAIN}");
        assert_eq!(table[2..].iter().map(|row| row[0]).collect::<Vec<_>>(), laws, "{AGAIN}");
        for row in &table[2..] {
            assert!(row[1..].iter().any(|cell| cell.starts_with("held")), "nobody is held against {}: {AGAIN}", row[0]);
        }
        for cell in table[2..].iter().flat_map(|row| &row[1..]) {
            for part in cell.split("; ") {
                let word = part.split(" on ").next().unwrap();
                let is_told = |number: &str| reasons.contains(&format!("\n{number}. "));
                let is_known = match word.rsplit_once(' ') {
                    None => word == "held",
                    Some((word, number)) => ["skipped", "left out"].contains(&word) && is_told(number),
                };
                assert!(is_known, "{cell}: {AGAIN}");
            }
        }
    }
}
