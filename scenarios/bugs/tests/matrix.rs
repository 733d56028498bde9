//! The kill matrix has a line for each bug, and what a later run lacks of it is told.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use layerlab_bugs::catalogue;
use layerlab_bugs::hunt::Kill;
use layerlab_bugs::matrix::{First, Line, Row, detectors, lines, page, vanished};

fn kill(detector: &'static str, cases: u64, steps: usize) -> Kill {
    let steps = vec!["step".to_owned(); steps];
    Kill { detector, cases, taken: Duration::from_millis(1700), steps, findings: Vec::new() }
}

fn row(bug: &str, searches: Vec<Vec<Kill>>) -> Row {
    Row { bug: bug.to_owned(), origin: "somewhere".to_owned(), searches, asked: Vec::new() }
}

fn asked_row() -> Row {
    Row { asked: vec![kill("nothing_stays_mounted", 1, 0)], ..row("asked", vec![Vec::new()]) }
}

fn two_rows() -> [Row; 2] {
    let merged = |cases| kill("merged-view-equals-the-model", cases, 3);
    let others = kill("remount-changes-nothing", 1, 9);
    let seen = row("seen", vec![vec![merged(7), others], vec![merged(3)], vec![merged(5)]]);
    [seen, row("survivor", vec![vec![merged(1)], Vec::new()])]
}

#[test]
fn a_page_is_read_as_it_was_written() {
    let written: Vec<Line> = two_rows().iter().filter_map(Line::of).collect();
    let text = page(written.clone(), "three searches");
    let mut read = lines(&text);
    assert_eq!(read.iter().map(|line| &*line.bug).collect::<Vec<_>>(), ["survivor", "seen"], "{text}");
    read.reverse();
    assert_eq!(read, written);
    let first = First { detector: "merged-view-equals-the-model".to_owned(), cases: 5, steps: 3 };
    assert_eq!((&written[0].first, written[0].is_seen, written[1].is_seen), (&Some(first), true, false));
    let seeing: Vec<&str> = written[0].detectors().collect();
    assert_eq!(seeing, ["merged-view-equals-the-model", "remount-changes-nothing"]);
    assert!(
        text.contains("2 bugs, 1 survived. Steps that show one: median 3 (4 allowed), most 3 (8 allowed)"),
        "{text}"
    );
    assert!(!text.contains("- remount-changes-nothing") && text.contains("- whiteouts-hide-something\n"), "{text}");
}

#[test]
fn what_was_seen_and_is_not_any_more_is_told() {
    let [seen, survivor] = two_rows();
    let told: Vec<Line> = [&seen, &survivor].into_iter().filter_map(Line::of).collect();
    assert_eq!(vanished(&told, &[seen]), [""; 0]);
    let by_another = row("seen", vec![vec![kill("remount-changes-nothing", 1, 9)]]);
    let nobody = row("seen", vec![Vec::new()]);
    let new = row("new", vec![vec![kill("remount-changes-nothing", 1, 9)]]);
    let wrong = vanished(&told, &[by_another, nobody, new, survivor]);
    assert!(wrong[0].starts_with("seen is not seen by merged-view-equals-the-model any more"), "{wrong:?}");
    assert_eq!(wrong[1], "seen has survived");
    assert!(wrong[2].starts_with("new is not in the matrix: cargo xtask bugs new"), "{wrong:?}");
    assert_eq!(wrong[3..], [""; 0]);
    let told: Vec<Line> = Line::of(&asked_row()).into_iter().collect();
    assert_eq!(
        (told[0].is_seen, &told[0].first, &told[0].asked[..]),
        (true, &None, &["nothing_stays_mounted".to_owned()][..])
    );
    assert_eq!(vanished(&told, &[asked_row()]), [""; 0]);
    assert_eq!(vanished(&told, &[row("asked", vec![Vec::new()])]), ["asked has survived"]);
}

#[test]
fn the_matrix_has_a_line_for_each_bug_and_none_survived() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots/kill-matrix.md");
    let written = lines(&fs::read_to_string(path).unwrap());
    let missing: Vec<String> = catalogue::all()
        .into_iter()
        .map(|entry| entry.name)
        .filter(|name| written.iter().all(|line| line.bug != *name))
        .collect();
    assert!(missing.is_empty(), "cargo xtask bugs {} --seeds 10 --write", missing.join(" "));
    let known: BTreeSet<&str> = detectors().into_iter().collect();
    for line in &written {
        assert!(line.is_seen, "{} has survived", line.bug);
        assert!(line.detectors().all(|detector| known.contains(detector)), "{line:?}: cargo xtask bugs --write");
    }
}
