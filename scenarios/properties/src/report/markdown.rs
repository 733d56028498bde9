//! A report as Markdown: for each kernel a table of behaviours and subjects, then what broke, what was not run and why, and findings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Cell, Report, words};
use crate::results::Outcome;

/// The whole report.
pub fn of(report: &Report) -> String {
    let count = |outcome| report.count(outcome);
    let mut text = format!(
        "# What was held against the laws\n\n{} cells hold, {} are broken; of {} there was nothing to judge, and {} were not run.\n",
        count(Outcome::Holds),
        count(Outcome::Broken),
        count(Outcome::NothingToJudge),
        count(Outcome::NotRun)
    );
    for part in &report.missing {
        let _ = writeln!(text, "\nMISSING: {part}");
    }
    let kernels: BTreeSet<&str> = report.cells.iter().map(|cell| cell.kernel.as_str()).collect();
    for kernel in kernels {
        let cells: Vec<&Cell> = report.cells.iter().filter(|cell| cell.kernel == kernel).collect();
        let _ = write!(text, "\n## Kernel {kernel}\n\n{}", table(&cells));
    }
    for (title, outcome) in
        [("Broken", Outcome::Broken), ("Nothing to judge", Outcome::NothingToJudge), ("Not run", Outcome::NotRun)]
    {
        text += &reasons(title, report.cells.iter().filter(|cell| cell.outcome == words(outcome)));
    }
    if !report.findings.is_empty() {
        text += "\n## Findings\n\nWhat released tools get wrong; `scenarios/cases/findings` has the scripts.\n\n| tool | what | | known |\n|---|---|---|---|\n";
        for Cell { subject, behaviour, outcome, details, .. } in &report.findings {
            let known = details.trim_start_matches("known: ");
            let _ = writeln!(text, "| {subject} | {behaviour} | {outcome} | {known} |");
        }
    }
    text
}

/// Behaviours and subjects; a cell says its outcome, or which backing had which.
fn table(cells: &[&Cell]) -> String {
    let subjects: BTreeSet<&str> = cells.iter().map(|cell| cell.subject.as_str()).collect();
    let mut by_behaviour: BTreeMap<&str, BTreeMap<&str, BTreeMap<&str, Vec<&str>>>> = BTreeMap::new();
    for cell in cells {
        let of_subject = by_behaviour.entry(&cell.behaviour).or_default().entry(&cell.subject).or_default();
        of_subject.entry(&cell.outcome).or_default().push(&cell.backing);
    }
    let mut text = format!(
        "| behaviour | {} |\n|---|{}\n",
        subjects.iter().copied().collect::<Vec<_>>().join(" | "),
        "---|".repeat(subjects.len())
    );
    for (behaviour, of_subjects) in by_behaviour {
        let told = subjects.iter().map(|subject| match of_subjects.get(subject) {
            None => String::new(),
            Some(outcomes) if outcomes.len() == 1 => outcomes.keys().copied().collect(),
            Some(outcomes) => {
                let each = outcomes.iter().map(|(outcome, backings)| format!("{outcome} on {}", backings.join(", ")));
                each.collect::<Vec<_>>().join("; ")
            }
        });
        let _ = writeln!(text, "| {behaviour} | {} |", told.collect::<Vec<_>>().join(" | "));
    }
    text
}

/// Each detail once, with what it is of.
fn reasons<'a>(title: &str, cells: impl Iterator<Item = &'a Cell>) -> String {
    let mut by_details: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for Cell { behaviour, subject, kernel, backing, details, .. } in cells {
        by_details.entry(details).or_default().insert(format!("{behaviour} of {subject} on {backing}, {kernel}"));
    }
    if by_details.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {title}\n\n");
    for (details, what) in by_details {
        let shown: Vec<String> = what.iter().take(SHOWN).cloned().collect();
        let more =
            what.len().checked_sub(SHOWN + 1).map_or_else(String::new, |more| format!(", and {} more", more + 1));
        let _ = writeln!(text, "- {details}: {}{more}", shown.join("; "));
    }
    text
}

/// So many of what has one reason are named.
const SHOWN: usize = 3;
