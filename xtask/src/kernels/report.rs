//! What came of it: a table of kernels and file systems, with the reason of each that is not held.
//!
//! *Holds*: what was not run is never taken for what held, nor is a machine that told no verdict. *Never*: how long it took, which differs each
//! time; that is printed alone.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::apt::Package;
use super::machine::{Heard, Told};

const HELD: i32 = 0;
const BROKEN: i32 = 1;
/// Of the laws, as of ours: nothing could be judged.
pub const SKIPPED: i32 = 77;

/// What came of the laws on one file system with one kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every law held of whoever was asked.
    Holds,
    /// A law broke, or the kernel complained.
    Broken,
    /// There is no verdict, though it was begun.
    NoVerdict(String),
    /// It was not begun.
    NotRun(String),
}

/// What came of one kernel.
pub struct Result {
    /// As it is called in the list.
    pub kernel: String,
    /// What it ran in.
    pub machine: String,
    /// What it calls itself.
    pub release: Option<String>,
    pub packages: Vec<Package>,
    /// By file system, in the order in which they were asked for.
    pub outcomes: Vec<(String, Outcome)>,
    /// Whoever was not held against the laws: why, and on which file systems.
    pub left_out: BTreeMap<(String, String), Vec<String>>,
}

impl Result {
    /// What a machine told.
    pub fn of(kernel: &str, machine: String, packages: Vec<Package>, heard: &Heard, backings: &[String]) -> Result {
        let mut left_out: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        let mut outcomes = Vec::new();
        for backing in backings {
            let told = heard.runs.get(backing);
            outcomes.push((backing.clone(), outcome(told, backing, heard)));
            for skip in told.iter().flat_map(|told| skips(backing, &told.lines)) {
                left_out.entry(skip).or_default().push(backing.clone());
            }
        }
        let release = heard.release.clone();
        Result { kernel: kernel.to_owned(), machine, release, packages, outcomes, left_out }
    }

    /// That it holds, and of whom it does not tell.
    fn holds(&self, backing: &String) -> String {
        let without = self.left_out.iter().filter(|(_, backings)| backings.contains(backing));
        let without: Vec<&str> = without.map(|((subject, _), _)| subject.as_str()).collect();
        if without.is_empty() { "holds".to_owned() } else { format!("holds, without {}", without.join(", ")) }
    }

    /// Whether it came up.
    pub fn is_run(&self) -> bool {
        self.release.is_some()
    }

    /// A kernel that was not started.
    pub fn not_run(kernel: &str, machine: String, why: &str, backings: &[String]) -> Result {
        let outcomes = backings.iter().map(|backing| (backing.clone(), Outcome::NotRun(why.to_owned()))).collect();
        let (packages, left_out) = (Vec::new(), BTreeMap::new());
        Result { kernel: kernel.to_owned(), machine, release: None, packages, outcomes, left_out }
    }
}

fn outcome(told: Option<&Told>, backing: &str, heard: &Heard) -> Outcome {
    let end = || heard.end.clone().unwrap_or_else(|| "the machine switched itself off before".to_owned());
    match told {
        None if heard.release.is_none() => Outcome::NoVerdict(format!("the machine never came up: {}", end())),
        None => Outcome::NoVerdict(end()),
        Some(Told { refused: Some(why), .. }) => Outcome::NotRun(why.clone()),
        Some(Told { status: None, .. }) => Outcome::NoVerdict(end()),
        Some(Told { status: Some(HELD), .. }) => Outcome::Holds,
        Some(Told { status: Some(BROKEN), .. }) => Outcome::Broken,
        Some(Told { status: Some(SKIPPED), lines, .. }) => {
            let skips: Vec<String> = skips(backing, lines).map(|(subject, why)| format!("{subject}: {why}")).collect();
            Outcome::NotRun(if skips.is_empty() { "nothing could be judged".to_owned() } else { skips.join("; ") })
        }
        Some(Told { status: Some(other), .. }) => Outcome::NoVerdict(format!("the laws ended with status {other}")),
    }
}

/// Whoever could not be held against the laws on a file system, and why: `skipped SUBJECT on /BACKING: WHY`.
fn skips<'a>(backing: &'a str, lines: &'a [String]) -> impl Iterator<Item = (String, String)> + 'a {
    lines.iter().filter_map(move |line| {
        let (subject, why) = line.strip_prefix("skipped ")?.split_once(&format!(" on /{backing}: "))?;
        (!subject.contains(' ')).then(|| (subject.to_owned(), steady(why)))
    })
}

/// The same text each time, on each file system: directories have names by chance.
fn steady(text: &str) -> String {
    let words = text.split_whitespace().map(|word| match word.starts_with('/') && word.contains("layerlab-") {
        true => format!("…{}", if word.ends_with([':', ',']) { &word[word.len() - 1..] } else { "" }),
        false => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What was required and not run: a kernel, a file system, or a subject, with the reason.
pub fn missing(results: &[Result], required: &[String]) -> Vec<String> {
    let is_required = |words: &[&str]| words.iter().any(|word| required.iter().any(|other| other == word));
    let mut missing = Vec::new();
    for Result { kernel, outcomes, left_out, .. } in results {
        for (backing, outcome) in outcomes {
            if let Outcome::NotRun(why) = outcome
                && is_required(&[kernel, backing])
            {
                missing.push(format!("{kernel} on {backing}: {}", steady(why)));
            }
        }
        for ((subject, why), backings) in left_out {
            if is_required(&[subject]) {
                missing.push(format!("{subject} on {}, kernel {kernel}: {}", backings.join(", "), steady(why)));
            }
        }
    }
    missing
}

/// The exit status: whether something broke, or has no verdict; else whether anything was run.
pub fn status(results: &[Result]) -> u8 {
    let outcomes = || results.iter().flat_map(|result| &result.outcomes).map(|(_, outcome)| outcome);
    let failed = outcomes().any(|outcome| matches!(outcome, Outcome::Broken | Outcome::NoVerdict(_)));
    match (failed, outcomes().any(|outcome| *outcome == Outcome::Holds)) {
        (true, _) => BROKEN as u8,
        (false, true) => HELD as u8,
        (false, false) => SKIPPED as u8,
    }
}

/// The table, and below it the reasons; `again` is the command that shows one cell.
pub fn table(results: &[Result], backings: &[String], again: impl Fn(&str, &str) -> String) -> String {
    let mut text =
        format!("| kernel | machine | {} |\n|---|---|{}\n", backings.join(" | "), "---|".repeat(backings.len()));
    let mut reasons: Vec<String> = Vec::new();
    let mut broken = String::new();
    for result in results {
        let mut cells = Vec::new();
        for (backing, outcome) in &result.outcomes {
            cells.push(match outcome {
                Outcome::Holds => result.holds(backing),
                Outcome::Broken => {
                    let _ = writeln!(broken, "- {} on {backing}: `{}`", result.kernel, again(&result.kernel, backing));
                    "**laws broken**".to_owned()
                }
                Outcome::NoVerdict(why) => {
                    let _ = writeln!(
                        broken,
                        "- {} on {backing}: {why}; `{}`",
                        result.kernel,
                        again(&result.kernel, backing)
                    );
                    "**no verdict**".to_owned()
                }
                Outcome::NotRun(why) => format!("not run {}", number(&mut reasons, why)),
            });
        }
        let release = result.release.as_deref().map_or_else(String::new, |release| format!(" ({release})"));
        let _ = writeln!(text, "| {}{release} | {} | {} |", result.kernel, result.machine, cells.join(" | "));
    }
    for (number, why) in (1..).zip(&reasons) {
        let _ = write!(text, "{}{number}. {}", if number == 1 { "\nNot run:\n\n" } else { "" }, steady(why));
        text.push('\n');
    }
    if !broken.is_empty() {
        let _ = write!(text, "\nTo see it again:\n\n{broken}");
    }
    text
}

/// The number, from 1, of a reason.
fn number(reasons: &mut Vec<String>, why: &str) -> usize {
    let known = reasons.iter().position(|reason| reason == why);
    known.unwrap_or_else(|| {
        reasons.push(why.to_owned());
        reasons.len() - 1
    }) + 1
}

/// Who was not held against the laws, on which kernels, and why.
pub fn left_out(results: &[Result]) -> String {
    let mut text = String::new();
    for result in results {
        for ((subject, why), backings) in &result.left_out {
            let all = backings.len() == result.outcomes.len();
            let on = if all { String::new() } else { format!(" on {}", backings.join(", ")) };
            let _ = writeln!(text, "- {}: {subject}{on}: {}", result.kernel, steady(why));
        }
    }
    text
}

/// Where the kernels came from.
pub fn packages(results: &[Result]) -> String {
    let mut text = "| kernel | package | version | SHA-256 |\n|---|---|---|---|\n".to_owned();
    for result in results {
        for Package { name, version, sha256 } in &result.packages {
            let _ = writeln!(text, "| {} | {name} | {version} | {sha256} |", result.kernel);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: Option<i32>, lines: &[&str]) -> Told {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Told { lines, status, ..Told::default() }
    }

    fn results(runs: Vec<(&str, Told)>, end: Option<&str>) -> Vec<Result> {
        let backings: Vec<String> = runs.iter().map(|(backing, _)| (*backing).to_owned()).collect();
        let runs = runs.into_iter().map(|(backing, told)| (backing.to_owned(), told)).collect();
        let heard = Heard { release: Some("6.1.0".to_owned()), runs, end: end.map(str::to_owned), seconds: 1.0 };
        vec![Result::of("6.1", "tcg".to_owned(), Vec::new(), &heard, &backings)]
    }

    #[test]
    fn what_has_no_verdict_is_a_failure() {
        let hung = results(
            vec![("ext4", told(Some(0), &[])), ("xfs", told(None, &["began"]))],
            Some("it was stopped after 9 s"),
        );
        assert_eq!(hung[0].outcomes[1].1, Outcome::NoVerdict("it was stopped after 9 s".to_owned()));
        assert_eq!(status(&hung), 1);
        assert_eq!(status(&results(vec![("ext4", told(Some(101), &[]))], None)), 1);
    }

    #[test]
    fn what_was_not_run_is_no_pass() {
        let skipped = results(vec![("ext4", told(Some(SKIPPED), &["skipped overlay on /ext4: no lowerdir+"]))], None);
        assert_eq!(status(&skipped), SKIPPED as u8);
        assert_eq!(status(&[Result::not_run("6.1", String::new(), "no network", &["ext4".to_owned()])]), SKIPPED as u8);
        assert_eq!(status(&results(vec![("ext4", told(Some(0), &[]))], None)), 0);
        assert_eq!(status(&results(vec![("ext4", told(Some(1), &[]))], None)), 1);
    }

    #[test]
    fn the_table_tells_reasons_once_and_how_to_see_what_broke() {
        let backings = ["ext4".to_owned(), "xfs".to_owned()];
        let mut all = results(vec![("ext4", told(Some(0), &[])), ("xfs", told(Some(1), &[]))], None);
        all.push(Result::not_run("7.2", "tcg".to_owned(), "no\nnetwork", &backings));
        let text = table(&all, &backings, |kernel, backing| format!("again {kernel} {backing}"));
        assert!(
            text.contains("| 6.1 (6.1.0) | tcg | holds | **laws broken** |\n| 7.2 | tcg | not run 1 | not run 1 |"),
            "{text}"
        );
        assert!(text.contains("\n1. no network\n") && !text.contains("2. "), "{text}");
        assert!(text.ends_with("- 6.1 on xfs: `again 6.1 xfs`\n"), "{text}");
    }

    #[test]
    fn what_is_required_and_was_not_run_is_named() {
        let skips = ["skipped overlay on /ext4: no lowerdir+"];
        let mut all = results(vec![("ext4", told(Some(0), &skips)), ("xfs", told(Some(0), &[]))], None);
        all.push(Result::not_run("7.2", String::new(), "no network", &["ext4".to_owned(), "xfs".to_owned()]));
        let missing = |words: &[&str]| missing(&all, &words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(missing(&["6.1", "tmpfs"]), Vec::<String>::new());
        assert_eq!(missing(&["xfs"]), ["7.2 on xfs: no network"]);
        assert_eq!(missing(&["7.2"]).len(), 2);
        assert_eq!(missing(&["overlay"]), ["overlay on ext4, kernel 6.1: no lowerdir+"]);
    }

    #[test]
    fn what_differs_by_chance_is_not_told() {
        assert_eq!(
            steady("mount overlay of /ext4/layerlab-laws-IK/.tmp6R: Invalid /proc"),
            "mount overlay of …: Invalid /proc"
        );
    }

    #[test]
    fn a_subject_that_a_kernel_cannot_have_is_told_where() {
        let lines = ["skipped overlay on /ext4: no lowerdir+", "skipped a-law of overlay on /ext4: never drawn"];
        let all = results(vec![("ext4", told(Some(0), &lines)), ("xfs", told(Some(0), &[]))], None);
        assert_eq!(left_out(&all), "- 6.1: overlay on ext4: no lowerdir+\n");
        let text = table(&all, &["ext4".to_owned(), "xfs".to_owned()], |_, _| String::new());
        assert!(text.contains("| holds, without overlay | holds |"), "{text}");
    }
}
