//! `--table`: what came of each law with each subject, on every file system, written as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use layerlab_scenarios::lab::prepare::workspace_root;

use crate::counts::Counts;
use crate::laws;
use crate::machine::Host;
use crate::results::{self, Line};
use crate::shard::Shard;
use crate::situations;
use crate::stores;
use crate::subjects;

/// What came of a law with a subject on a backing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Held,
    /// Nothing to judge, and why.
    Skipped(String),
    Broken,
}

/// What came of everything that was asked.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// By law and subject: the backings, with what came of it there.
    cells: BTreeMap<(String, String), BTreeMap<String, Outcome>>,
    /// Subjects and what they could not lie on, with why.
    refused: BTreeSet<(String, String, String)>,
    /// What failed beside laws, and on what: why.
    failed: BTreeSet<(String, String, String)>,
    /// How often there was something to judge, by law, subject and backing.
    judgements: BTreeMap<(String, String, String), u64>,
    /// The script that shows what broke, by the same.
    scripts: BTreeMap<(String, String, String), String>,
}

/// What is the same for all that came of one run.
pub struct Run<'a> {
    /// The kernel's release.
    pub kernel: &'a str,
    /// In a user namespace.
    pub rootless: bool,
    /// Where the random numbers began.
    pub seed: u64,
    /// Which part of the cases.
    pub shard: Option<Shard>,
    /// How much was asked for, as the options that say so.
    pub amount: String,
}

impl Outcomes {
    /// `subject` was held against `laws` on `backing`, of which some are `broken`.
    pub fn held<'a>(
        &mut self,
        (subject, backing): (&str, &str),
        laws: impl Iterator<Item = &'a str>,
        counts: &Counts,
        broken: &BTreeSet<String>,
    ) {
        let laws: Vec<&str> = laws.collect();
        let mut came: BTreeMap<&str, Outcome> = laws.iter().map(|law| (*law, Outcome::Held)).collect();
        for (why, idle) in counts.idle(laws.iter().copied(), "it") {
            came.extend(idle.into_iter().map(|law| (law, Outcome::Skipped(why.clone()))));
        }
        came.extend(laws.iter().filter(|law| broken.contains(**law)).map(|law| (*law, Outcome::Broken)));
        for (law, outcome) in came {
            let key = (law.to_owned(), subject.to_owned(), backing.to_owned());
            *self.judgements.entry(key).or_default() += counts.judgements_of(law);
            let cell = self.cells.entry((law.to_owned(), subject.to_owned())).or_default();
            cell.insert(backing.to_owned(), outcome);
        }
    }

    /// `subject` could not be asked on `backing`.
    pub fn refused(&mut self, subject: &str, backing: &str, why: &str) {
        self.refused.insert((subject.to_owned(), backing.to_owned(), why.to_owned()));
    }

    /// Something failed that is no law of this run.
    pub fn failed(&mut self, (subject, backing): (&str, &str), why: &str) {
        self.failed.insert((subject.to_owned(), backing.to_owned(), why.to_owned()));
    }

    /// This `script` shows that `subject` broke `law` on `backing`.
    pub fn shown(&mut self, (subject, backing): (&str, &str), law: &str, script: String) {
        self.scripts.insert((law.to_owned(), subject.to_owned(), backing.to_owned()), script);
    }

    /// All of it, line by line.
    pub fn lines(&self, run: &Run<'_>) -> Vec<Line> {
        let line = |subject: &str, backing: &str| Line {
            subject: subject.to_owned(),
            kernel: run.kernel.to_owned(),
            rootless: run.rootless,
            backing: backing.to_owned(),
            law: None,
            outcome: results::Outcome::NotRun,
            reason: None,
            script: None,
            judgements: 0,
            seed: run.seed,
            shard: run.shard.map(|shard| shard.to_string()),
            amount: run.amount.clone(),
        };
        let cell = |((law, subject), cell): (&(String, String), &BTreeMap<String, Outcome>)| {
            let lines = cell.iter().map(|(backing, outcome)| {
                let key = (law.clone(), subject.clone(), backing.clone());
                let (outcome, reason) = match outcome {
                    Outcome::Held => (results::Outcome::Holds, None),
                    Outcome::Skipped(why) => (results::Outcome::NothingToJudge, Some(why.clone())),
                    Outcome::Broken => (results::Outcome::Broken, None),
                };
                let judgements = self.judgements.get(&key).copied().unwrap_or_default();
                let script = self.scripts.get(&key).cloned();
                Line { law: Some(law.clone()), outcome, reason, script, judgements, ..line(subject, backing) }
            });
            lines.collect::<Vec<_>>()
        };
        let refused = self
            .refused
            .iter()
            .map(|(subject, backing, why)| Line { reason: Some(why.clone()), ..line(subject, backing) });
        let failed = self.failed.iter().map(|(subject, backing, why)| Line {
            outcome: results::Outcome::Broken,
            reason: Some(why.clone()),
            ..line(subject, backing)
        });
        self.cells.iter().flat_map(cell).chain(refused).chain(failed).collect()
    }
}

/// Numbered reasons, in the order in which they were first given.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn number(&mut self, note: &str) -> usize {
        let found = self.0.iter().position(|known| known == note);
        1 + found.unwrap_or_else(|| {
            self.0.push(note.to_owned());
            self.0.len() - 1
        })
    }
}

/// The names of the laws of trees, situations among them, and of the subjects; then those of stores.
pub fn names() -> [(Vec<String>, Vec<String>); 2] {
    let mut of_trees: Vec<String> = laws::ALL.iter().map(|law| law.name().to_owned()).collect();
    of_trees.extend(situations::ALL.iter().map(|situation| situation.name().to_owned()));
    let of_stores = stores::laws::ALL.iter().map(|law| law.name().to_owned()).collect();
    let subjects = subjects::all().iter().map(|subject| subject.name()).collect();
    [(of_trees, subjects), (of_stores, stores::all().iter().map(|kind| kind.name()).collect())]
}

/// The table of `outcomes` on this machine.
pub fn of(outcomes: &Outcomes, host: &Host) -> std::io::Result<String> {
    let mut text = String::from(
        "# What every subject is held against\n\n\
         Written by `cargo xtask laws --table`, as root, when nothing broke. *held*: on every file system that the subject was asked on, with the promises that it \
         makes otherwise than the machine, which are told below: the model keeps to them, and so do the laws. *skipped*: there was nothing to judge; the numbers are those of the reasons below.\n",
    );
    let (declared, mut notes) = (Declared::of(host)?, Notes::default());
    for (title, (laws, subjects)) in ["Laws and situations", "Laws of a store of images"].into_iter().zip(names()) {
        let _ = write!(
            text,
            "\n## {title}\n\n| law | {} |\n|---|{}\n",
            subjects.join(" | "),
            "---|".repeat(subjects.len())
        );
        for law in &laws {
            let cells = subjects.iter().map(|subject| match outcomes.cells.get(&(law.clone(), subject.clone())) {
                Some(cell) => told(cell, &mut notes),
                None => "not asked".to_owned(),
            });
            let cells: Vec<String> = cells.collect();
            let _ = writeln!(text, "| {law} | {} |", cells.join(" | "));
        }
    }
    text += "\n## Reasons\n\n";
    for (number, note) in (1..).zip(&notes.0) {
        let _ = writeln!(text, "{number}. {note}");
    }
    text += "\n## What subjects promise otherwise than the machine\n\n";
    for (promise, made) in &declared.promises {
        let word = match () {
            () if made.values().all(|value| *value == true) => "made by",
            () if made.values().all(|value| *value == false) => "not made by",
            () => "otherwise by",
        };
        let subjects: Vec<&str> = made.keys().map(String::as_str).collect();
        let _ = writeln!(text, "- `{promise}`, {word} {}:{}", subjects.join(", "), declared.about(promise));
    }
    if !outcomes.refused.is_empty() {
        text += "\n## Not asked\n\n";
        for (subject, backing, why) in &outcomes.refused {
            let _ = writeln!(text, "- {subject} on {backing}: {why}");
        }
    }
    Ok(text)
}

/// One cell: each outcome once, with the backings where there are several.
fn told(cell: &BTreeMap<String, Outcome>, notes: &mut Notes) -> String {
    let mut by_outcome: BTreeMap<&Outcome, Vec<&str>> = BTreeMap::new();
    for (backing, outcome) in cell {
        by_outcome.entry(outcome).or_default().push(backing);
    }
    let is_one = by_outcome.len() == 1;
    let words = by_outcome.into_iter().map(|(outcome, backings)| {
        let word = match outcome {
            Outcome::Held => "held".to_owned(),
            Outcome::Skipped(why) => format!("skipped {}", notes.number(why)),
            Outcome::Broken => "BROKEN".to_owned(),
        };
        if is_one { word } else { format!("{word} on {}", backings.join(", ")) }
    });
    words.collect::<Vec<_>>().join("; ")
}

/// What subjects say of themselves.
struct Declared {
    /// By the name of a promise: the subjects that make it otherwise than the machine does, and how.
    promises: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
    /// The file of the promises, where their sources are named.
    source: String,
}

impl Declared {
    fn of(host: &Host) -> std::io::Result<Declared> {
        let own = serde_json::to_value(host.promises())?;
        let mut promises = BTreeMap::<String, BTreeMap<_, _>>::new();
        for subject in subjects::all() {
            let made = serde_json::to_value(subject.promises(host))?;
            let others = made.as_object().into_iter().flatten().filter(|(name, value)| own[name.as_str()] != **value);
            for (name, value) in others {
                promises.entry(name.clone()).or_default().insert(subject.name(), value.clone());
            }
        }
        let source = fs::read_to_string(workspace_root().join("scenarios/model/src/promises.rs"))?;
        Ok(Declared { promises, source })
    }

    /// What the comment of a promise says.
    fn about(&self, promise: &str) -> String {
        let mut about = String::new();
        for line in self.source.lines().map(str::trim) {
            match line.strip_prefix("///") {
                Some(more) => about += more,
                None if line.starts_with(&format!("pub {promise}:")) => break,
                None => about.clear(),
            }
        }
        about
    }
}

/// Writes the table to `path`.
pub fn write(outcomes: &Outcomes, host: &Host, path: &Path) -> anyhow::Result<()> {
    fs::write(path, of(outcomes, host)?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::laws::Judged;

    #[test]
    fn a_cell_says_what_came_and_why() {
        let (mut outcomes, mut counts) = (Outcomes::default(), Counts::default());
        let laws = ["layer-tars-are-well-formed", "applying-a-diff-gives-the-tree", "readdir-says-what-lookup-says"];
        counts.judge(laws[0], Judged::Held);
        counts.judge(laws[1], Judged::Held);
        counts.judge(laws[2], Judged::Lacking("directories"));
        let none = BTreeSet::new();
        outcomes.held(("layerlab-vfs", "tmpfs"), laws.into_iter(), &counts, &none);
        counts.judge(laws[2], Judged::Held);
        outcomes.held(("layerlab-vfs", "xfs"), laws.into_iter(), &counts, &none);
        outcomes.held(("plain", "tmpfs"), laws.into_iter(), &counts, &BTreeSet::from([laws[0].to_owned()]));
        outcomes.refused("layerlab-btrfs", "tmpfs", "it is no btrfs");
        let text = of(&outcomes, &Host::probe(true)).unwrap();
        let cells =
            |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
        let line = |name: &str| cells(text.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap());
        let cell = |law: &str, subject: &str| {
            let column = line("law").iter().position(|name| name == subject).unwrap();
            line(law)[column].clone()
        };
        let reason = |words: &str| {
            let (number, _) = text.lines().find(|line| line.contains(words)).unwrap().split_once(". ").unwrap();
            number.to_owned()
        };
        assert_eq!(cell(laws[0], "layerlab-vfs"), "held");
        assert_eq!(cell(laws[1], "layerlab-vfs"), "held");
        let skipped = format!("held on xfs; skipped {} on tmpfs", reason("it has no directories"));
        assert_eq!(cell(laws[2], "layerlab-vfs"), skipped);
        assert_eq!(cell(laws[0], "plain"), "BROKEN");
        assert_eq!(cell(laws[0], "layerlab-fuse-overlayfs"), "not asked");
        assert!(text.ends_with("\n## Not asked\n\n- layerlab-btrfs on tmpfs: it is no btrfs\n"), "{text}");
        let promise = "- `diffs_see_everything`, not made by layerlab-btrfs, layerlab-fuse-overlayfs, layerlab-overlay, layerlab-vfs: A diff sees every change";
        assert!(text.lines().any(|line| line.starts_with(promise)), "{text}");
    }
}
