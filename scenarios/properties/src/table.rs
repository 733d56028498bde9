//! `--table`: what came of each law with each subject, on every file system, written as Markdown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Context;
use layerlab_model::promises::about;

use crate::laws;
use crate::machine::Host;
use crate::notes::Notes;
use crate::results::{Line, Outcome};
use crate::situations;
use crate::stores;
use crate::subjects;

/// The names of the laws of trees, situations among them, and of the subjects; then those of stores.
pub fn names() -> [(Vec<String>, Vec<String>); 2] {
    let mut of_trees: Vec<String> = laws::ALL.iter().map(|law| law.name().to_owned()).collect();
    of_trees.extend(situations::ALL.iter().map(|situation| situation.name().to_owned()));
    let of_stores = stores::laws::ALL.iter().map(|law| law.name().to_owned()).collect();
    let subjects = subjects::all().iter().map(|subject| subject.name()).collect();
    [(of_trees, subjects), (of_stores, stores::all().iter().map(|kind| kind.name()).collect())]
}

/// The table of what came of a run on this machine.
pub fn of(lines: &[Line], host: &Host) -> std::io::Result<String> {
    let mut text = String::from(
        "# What every subject is held against\n\n\
         Written by `cargo xtask laws --table`, as root, when nothing broke. *held*: on every file system that the subject was asked on, with the promises that it \
         makes otherwise than the machine, which are told below: the model keeps to them, and so do the laws. *skipped*: there was nothing to judge; the numbers are those of the reasons below.\n",
    );
    let (declared, mut notes) = (Declared::of(host)?, Notes::default());
    let mut cells: BTreeMap<(&str, &str), Vec<&Line>> = BTreeMap::new();
    for line in lines {
        if let Some(law) = &line.law {
            cells.entry((law, &line.subject)).or_default().push(line);
        }
    }
    for (title, (laws, subjects)) in ["Laws and situations", "Laws of a store of images"].into_iter().zip(names()) {
        let _ = write!(
            text,
            "\n## {title}\n\n| law | {} |\n|---|{}\n",
            subjects.join(" | "),
            "---|".repeat(subjects.len())
        );
        for law in &laws {
            let cells = subjects.iter().map(|subject| match cells.get(&(&**law, &**subject)) {
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
        let _ = writeln!(text, "- `{promise}`, {word} {}: {}", subjects.join(", "), about(promise));
    }
    let refused = lines.iter().filter(|line| line.outcome == Outcome::NotRun);
    let refused: BTreeSet<String> = refused
        .map(|Line { subject, backing, reason, .. }| {
            format!("- {subject} on {backing}: {}\n", reason.as_deref().unwrap_or_default())
        })
        .collect();
    if !refused.is_empty() {
        text += "\n## Not asked\n\n";
        text.extend(refused);
    }
    Ok(text)
}

/// One cell: each outcome once, with the backings where there are several.
fn told(cell: &[&Line], notes: &mut Notes) -> String {
    let mut by_outcome: BTreeMap<(bool, Option<&str>), BTreeSet<&str>> = BTreeMap::new();
    for line in cell {
        let key = (line.outcome == Outcome::Broken, line.reason.as_deref());
        by_outcome.entry(key).or_default().insert(&line.backing);
    }
    let is_one = by_outcome.len() == 1;
    let words = by_outcome.into_iter().map(|(outcome, backings)| {
        let word = match outcome {
            (true, _) => "BROKEN".to_owned(),
            (false, Some(why)) => format!("skipped {}", notes.number(why)),
            (false, None) => "held".to_owned(),
        };
        let backings: Vec<&str> = backings.into_iter().collect();
        if is_one { word } else { format!("{word} on {}", backings.join(", ")) }
    });
    words.collect::<Vec<_>>().join("; ")
}

/// What subjects say of themselves.
struct Declared {
    /// By the name of a promise: the subjects that make it otherwise than the machine does, and how.
    promises: BTreeMap<String, BTreeMap<String, serde_json::Value>>,
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
        Ok(Declared { promises })
    }
}

/// Writes the table to `path`.
pub fn write(lines: &[Line], host: &Host, path: &Path) -> anyhow::Result<()> {
    fs::write(path, of(lines, host)?).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Counts;
    use crate::laws::Judged;
    use crate::results::{Break, Outcomes, Run};

    #[test]
    fn a_cell_says_what_came_and_why() {
        let run = Run { kernel: String::new(), rootless: false, seed: 1, shard: None, amount: String::new() };
        let (mut outcomes, mut counts) = (Outcomes::of(run), Counts::default());
        let laws = ["layer-tars-are-well-formed", "applying-a-diff-gives-the-tree", "readdir-says-what-lookup-says"];
        counts.judge(laws[0], Judged::Held);
        counts.judge(laws[1], Judged::Held);
        counts.judge(laws[2], Judged::Lacking("directories"));
        let none = BTreeMap::new();
        outcomes.held(("layerlab-vfs", "tmpfs"), laws.into_iter(), &counts, &none);
        counts.judge(laws[2], Judged::Held);
        outcomes.held(("layerlab-vfs", "xfs"), laws.into_iter(), &counts, &none);
        outcomes.held(
            ("plain", "tmpfs"),
            laws.into_iter(),
            &counts,
            &BTreeMap::from([(laws[0].to_owned(), Break::default())]),
        );
        outcomes.refused(("layerlab-btrfs", "tmpfs"), "it is no btrfs");
        let text = of(outcomes.lines(), &Host::probe(true)).unwrap();
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
