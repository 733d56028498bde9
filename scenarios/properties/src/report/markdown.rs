//! A report as Markdown: for each kernel tables of behaviours and subjects, the reasons by number, and findings.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use layerlab_scenarios::lab::prepare::workspace_root;

use super::{Cell, EVERYTHING, Report, Told, ToldFinding};
use crate::finding::Outcome;
use crate::notes::Notes;
use crate::{deviations, stores};

/// Behaviours that have a table of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Trees,
    Stores,
    Promises,
    Whole,
}

impl Table {
    const ALL: [Table; 4] = [Table::Trees, Table::Stores, Table::Promises, Table::Whole];

    fn of(behaviour: &str) -> Table {
        match () {
            () if behaviour == EVERYTHING => Table::Whole,
            () if stores::laws::ALL.iter().any(|law| law.name() == behaviour) => Table::Stores,
            () if deviations::is_promise(behaviour) => Table::Promises,
            () => Table::Trees,
        }
    }

    /// Its title, and what is said of it.
    fn title(self) -> &'static str {
        match self {
            Table::Trees => "Laws and situations",
            Table::Stores => "Laws of a store of images",
            Table::Whole => "Not run at all",
            Table::Promises => {
                "Where a tree is not as without layers\n\nWhat subjects say of themselves: the model keeps to it, and so do the laws. Where nothing stands, it is promised."
            }
        }
    }
}

/// The whole report.
pub fn of(report: &Report) -> String {
    let mut text = "# What storage keeps, and what it does not\n\n".to_owned();
    let counts = Told::ALL.map(|told| format!("{} {}", report.count(told), told.words()));
    let _ =
        writeln!(text, "Of {} cells: {}; {} findings.", report.cells.len(), counts.join(", "), report.findings.len());
    text += LEGEND;
    for part in &report.missing {
        let _ = writeln!(text, "\nMISSING: {part}");
    }
    for failure in &report.failures {
        let _ = writeln!(text, "\nFAILED: {failure}");
    }
    let mut notes = Notes::default();
    let kernels: BTreeSet<&str> = report.cells.iter().map(|cell| cell.kernel.as_str()).collect();
    for kernel in kernels {
        let _ = writeln!(text, "\n## Kernel {kernel}");
        for part in Table::ALL {
            let is_here = |cell: &&Cell| cell.kernel == kernel && Table::of(&cell.behaviour) == part;
            let cells: Vec<&Cell> = report.cells.iter().filter(is_here).collect();
            if !cells.is_empty() {
                let _ = write!(text, "\n### {}\n\n{}", part.title(), table(&cells, &mut notes));
            }
        }
    }
    text += &section("Reasons", (1..).zip(&notes.0).map(|(number, note)| format!("{number}. {note}\n")));
    let versions = report.cells.iter().filter_map(|cell| Some((&cell.subject, cell.version.as_ref()?)));
    let versions: BTreeSet<String> = versions.map(|(subject, version)| format!("- {subject}: {version}\n")).collect();
    text += &section("Versions", versions);
    text += &section("Runs", report.runs.iter().map(|run| format!("- {run}\n")));
    text += &section("Findings", report.findings.iter().map(finding));
    steady(&text)
}

/// Without the paths of a checkout, and of directories that are called otherwise each time.
fn steady(text: &str) -> String {
    let text = text.replace(&format!("{}/", workspace_root().display()), "");
    let mut parts = text.split("/tmp/layerlab-");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |told, part| {
        let end = part.find(|character: char| character.is_whitespace() || "\":;,)|".contains(character));
        told + "…" + &part[end.unwrap_or(part.len())..]
    })
}

/// What the words of a table mean.
const LEGEND: &str = "\n*holds*: in every judgement, with the promises that the subject makes. *documented*: otherwise than without layers, and whoever made it says so; the number is that of the \
                      reason, which names the source. **deviates**: a law broke, or a finding tells of it, to which the word leads. *not run*: the number is that of the reason.\n";

/// Nothing where there is nothing to tell.
fn section(title: &str, parts: impl IntoIterator<Item = String>) -> String {
    let parts: String = parts.into_iter().collect();
    if parts.is_empty() { parts } else { format!("\n## {title}\n\n{parts}") }
}

/// Behaviours and subjects; a cell says what is told, or which backing had what.
fn table(cells: &[&Cell], notes: &mut Notes) -> String {
    let subjects: BTreeSet<&str> = cells.iter().map(|cell| cell.subject.as_str()).collect();
    let mut by_behaviour: BTreeMap<&str, BTreeMap<&str, BTreeMap<String, Vec<&str>>>> = BTreeMap::new();
    for cell in cells {
        let of_subject = by_behaviour.entry(&cell.behaviour).or_default().entry(&cell.subject).or_default();
        of_subject.entry(word(cell, notes)).or_default().push(&cell.backing);
    }
    let mut text = format!(
        "| behaviour | {} |\n|---|{}\n",
        subjects.iter().copied().collect::<Vec<_>>().join(" | "),
        "---|".repeat(subjects.len())
    );
    for (behaviour, of_subjects) in by_behaviour {
        let told = subjects.iter().map(|subject| match of_subjects.get(subject) {
            None => String::new(),
            Some(words) if words.len() == 1 => words.keys().cloned().collect(),
            Some(words) => {
                let each = words.iter().map(|(word, backings)| format!("{word} on {}", backings.join(", ")));
                each.collect::<Vec<_>>().join("; ")
            }
        });
        let _ = writeln!(text, "| {behaviour} | {} |", told.collect::<Vec<_>>().join(" | "));
    }
    text
}

fn word(cell: &Cell, notes: &mut Notes) -> String {
    let why = if cell.details.is_empty() { &cell.about } else { &cell.details };
    match (cell.told, cell.findings.first()) {
        (Told::Holds, _) => "holds".to_owned(),
        (Told::Documented, _) => format!("documented {}", notes.number(why)),
        (Told::NotRun, _) => format!("not run {}", notes.number(why)),
        (Told::Deviates, Some(page)) if cell.is_broken => format!("[**deviates**](#{page}) {}", notes.number(why)),
        (Told::Deviates, Some(page)) => format!("[**deviates**](#{page})"),
        (Told::Deviates, None) => format!("**deviates** {}", notes.number(why)),
    }
}

fn finding(finding: &ToldFinding) -> String {
    let ToldFinding { name, title, tool, kind, promised, known, seen, .. } = finding;
    let seen: Vec<String> = seen.iter().map(|seen| format!("; on {}: {}", seen.kernel, words(&seen.outcome))).collect();
    format!(
        "### {name}\n\n{title}\n\n- {kind} of {tool}{}\n- promised: {promised}\n- known: {known}\n\n",
        seen.concat()
    )
}

/// What came of a page, in a few words.
fn words(outcome: &Outcome) -> String {
    match outcome {
        Outcome::AsTold => "does so still".to_owned(),
        Outcome::Mended => "**mended?**".to_owned(),
        Outcome::Otherwise(_) => "**otherwise**".to_owned(),
        Outcome::NoAnswer => "**did not end**".to_owned(),
        Outcome::Unasked(why) => format!("not run ({why})"),
        Outcome::OtherVersion(version) => format!("not so with {version}"),
    }
}
