//! The kill matrix has a line for each bug, and what a later run lacks of it is told.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use layerlab_bugs::catalogue;
use layerlab_bugs::hunt::Kill;
use layerlab_bugs::hunt::NO_LAW;
use layerlab_bugs::matrix::{First, Line, Row, detectors, is_short, lines, page, searches, summary, vanished};

/// How often each bug is looked for.
const SEARCHES: u64 = 10;
/// How many cases that may take.
const CASES_MAX: u64 = 2000;

fn kill(detector: &'static str, cases: u64, steps: usize) -> Kill {
    let steps = vec!["step".to_owned(); steps];
    Kill { detector, cases, taken: Duration::from_millis(1700), steps, findings: Vec::new() }
}

fn row(bug: &str, searches: Vec<Vec<Kill>>) -> Row {
    Row { bug: bug.to_owned(), origin: "somewhere".to_owned(), searches, asked: Vec::new(), pages: None }
}

fn asked_row() -> Row {
    Row { asked: vec![kill("nothing_stays_mounted", 1, 0)], ..row("asked", vec![Vec::new()]) }
}

fn two_rows() -> [Row; 2] {
    let merged = |cases| kill("merged-view-equals-the-model", cases, 3);
    let others = kill("remount-changes-nothing", 1, 9);
    let pages = Some(vec!["changes".to_owned(), "of-nothing".to_owned()]);
    let seen = Row { pages, ..row("seen", vec![vec![merged(7), others], vec![merged(3)], vec![merged(5)]]) };
    [seen, row("survivor", vec![vec![merged(1)], Vec::new()])]
}

#[test]
fn a_page_is_read_as_it_was_written() {
    let written: Vec<Line> = two_rows().iter().map(Line::of).collect();
    let text = page(written.clone(), 3, 2000);
    assert_eq!(searches(&text), Some(3));
    let mut read = lines(&text);
    assert_eq!(read.iter().map(|line| &*line.bug).collect::<Vec<_>>(), ["survivor", "seen"], "{text}");
    read.reverse();
    assert_eq!(read, written);
    let first = First { detector: "merged-view-equals-the-model".to_owned(), cases: 5, steps: 3, is_sure: true };
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
    let told: Vec<Line> = [&seen, &survivor].into_iter().map(Line::of).collect();
    assert_eq!(vanished(&told, &[seen]), [""; 0]);
    let by_another = row("seen", vec![vec![kill("remount-changes-nothing", 1, 9)]]);
    let nobody = row("seen", vec![Vec::new()]);
    let new = row("new", vec![vec![kill("remount-changes-nothing", 1, 9)]]);
    let wrong = vanished(&told, &[by_another, nobody, new, survivor]);
    assert!(wrong[0].starts_with("seen is not seen by [\"merged-view-equals-the-model\"] any more"), "{wrong:?}");
    assert_eq!(wrong[1], "seen has survived");
    assert!(wrong[2].starts_with("new is not in the matrix: cargo xtask bugs new"), "{wrong:?}");
    assert_eq!(wrong[3..], [""; 0]);
    let told = [Line::of(&asked_row())];
    assert_eq!(
        (told[0].is_seen, &told[0].first, &told[0].asked[..]),
        (true, &None, &["nothing_stays_mounted".to_owned()][..])
    );
    assert_eq!(vanished(&told, &[asked_row()]), [""; 0]);
    assert_eq!(vanished(&told, &[row("asked", vec![Vec::new()])]), ["asked has survived"]);
}

#[test]
fn a_bug_that_is_seen_by_one_law_or_another_is_to_be_seen_by_any() {
    let each = |law: &'static str| vec![kill(law, 1, 9)];
    let now_and_then = row("bug", vec![each("merged-view-equals-the-model"), each("remount-changes-nothing")]);
    let told = [Line::of(&now_and_then)];
    assert!(!told[0].first.as_ref().unwrap().is_sure);
    assert_eq!(vanished(&told, &[row("bug", vec![each("whiteouts-hide-something")])]), [""; 0]);
    assert_eq!(vanished(&told, &[row("bug", vec![Vec::new()])]), ["bug has survived"]);
}

#[test]
fn who_sees_by_luck_may_be_blind_as_long_as_somebody_sees() {
    let merged = || vec![vec![kill("merged-view-equals-the-model", 1, 1)]];
    let mut seen = row("seen", merged());
    seen.asked.push(kill("a-crowd-leaves-a-sound-tree", 1, 0));
    let told = [Line::of(&seen)];
    assert_eq!(vanished(&told, &[row("seen", merged())]), [""; 0]);
    assert_eq!(vanished(&told, &[row("seen", vec![Vec::new()])]), ["seen has survived"]);
}

#[test]
fn that_no_case_goes_on_is_not_seen_by_a_law() {
    let broken_off = row("broken-off", vec![vec![kill(NO_LAW, 1, 1)]]);
    assert!(broken_off.has_survived());
    let merged = || vec![kill("merged-view-equals-the-model", 1, 1)];
    let others = vec![kill("remount-changes-nothing", 1, 1)];
    let told = [Line::of(&row("broken-off", vec![merged(), others]))];
    assert_eq!(vanished(&told, &[broken_off]), ["broken-off has survived"]);
    let later = row("later", vec![vec![kill(NO_LAW, 1, 1), kill("merged-view-equals-the-model", 9, 1)]]);
    let line = Line::of(&later);
    assert_eq!((later.has_survived(), &*line.first.unwrap().detector), (false, "merged-view-equals-the-model"));
}

#[test]
fn who_is_asked_once_and_is_blind_is_told() {
    let mut seen = row("seen", vec![vec![kill("merged-view-equals-the-model", 1, 1)]]);
    seen.asked.push(kill("nothing_stays_mounted", 1, 0));
    let told = [Line::of(&seen)];
    assert_eq!(vanished(&told, &[seen]), [""; 0]);
    let wrong = vanished(&told, &[row("seen", vec![vec![kill("merged-view-equals-the-model", 1, 1)]])]);
    assert!(wrong[0].starts_with("seen is not seen by [\"nothing_stays_mounted\"] any more"), "{wrong:?}");
}

#[test]
fn the_matrix_has_a_line_for_each_bug_and_none_survived() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../snapshots/kill-matrix.md");
    let page = fs::read_to_string(path).unwrap();
    let written = lines(&page);
    let there: BTreeSet<String> = catalogue::all().into_iter().map(|entry| entry.name).collect();
    let told: BTreeSet<String> = written.iter().map(|line| line.bug.clone()).collect();
    let missing: Vec<&str> = there.difference(&told).map(String::as_str).collect();
    assert!(missing.is_empty(), "cargo xtask bugs {} --seeds {SEARCHES} --write", missing.join(" "));
    assert_eq!(told, there, "cargo xtask bugs NAME --seeds {SEARCHES} --write takes out what is no bug any more");
    assert_eq!(searches(&page), Some(SEARCHES));
    assert!(page.contains(&summary(&written)) && is_short(&written), "{}", summary(&written));
    let by_all: Vec<&Line> = written.iter().filter(|line| line.first.is_none() && line.asked.is_empty()).collect();
    assert!(by_all.is_empty(), "{by_all:?}");
    let known: BTreeSet<&str> = detectors().into_iter().collect();
    for line in &written {
        assert!(line.is_seen, "{} has survived", line.bug);
        assert!(line.first.as_ref().is_none_or(|first| first.cases <= CASES_MAX), "{line:?}");
        assert!(line.detectors().all(|detector| known.contains(detector)), "{line:?}: cargo xtask bugs --write");
    }
}
