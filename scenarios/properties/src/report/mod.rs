//! What many runs found, put together: behaviour × subject × kernel × backing, as Markdown, JSON, one HTML page, and JUnit's XML.
//!
//! *Holds*: a cell of which one part broke is broken, whatever the others did; what was not run is told with its reason, and never counts as held. A cell is about a finding where the page
//! names that behaviour, that subject and the version that was there; nothing is guessed from words. `layerlab-report` writes it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::deviations;
use crate::finding::{Finding, Seen};
use crate::list;
use crate::results::{Line, Outcome};
use layerlab_model::promises::about;

pub mod html;
pub mod junit;
pub mod markdown;

/// What a cell tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Told {
    /// The behaviour is as it should be.
    Holds,
    /// It is not, and whoever made it says so.
    Documented,
    /// It is not: a law broke, or a finding tells of it.
    Deviates,
    /// Nothing is known.
    NotRun,
}

impl Told {
    /// All, in their order.
    pub const ALL: [Told; 4] = [Told::Holds, Told::Documented, Told::Deviates, Told::NotRun];

    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Told::Holds => "holds",
            Told::Documented => "deviates as documented",
            Told::Deviates => "deviates",
            Told::NotRun => "not run",
        }
    }
}

/// What is told of a subject as a whole, in the place of a behaviour.
const EVERYTHING: &str = "everything";

/// One cell: a behaviour of a subject on a kernel and a backing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// A law, a situation, or a promise that is not made.
    pub behaviour: String,
    /// What it says, in a line; empty where its name says it.
    pub about: String,
    /// Ids of the checklist.
    pub ids: String,
    /// The subject.
    pub subject: String,
    /// What it is of that others release.
    pub version: Option<String>,
    /// The kernel's release.
    pub kernel: String,
    /// What the layers lay on.
    pub backing: String,
    /// What is told.
    pub told: Told,
    /// Whether a run saw it break.
    pub is_broken: bool,
    /// The pages of findings that tell of it.
    pub findings: Vec<String>,
    /// Why, with its source, or what to do to see it again.
    pub details: String,
    /// The script that shows it.
    pub script: Option<String>,
    /// How often there was something to judge.
    pub judgements: u64,
}

/// A page about a tool of others, and what came of it where it was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToldFinding {
    /// The page's name.
    pub name: String,
    /// What the tool does, in a line.
    pub title: String,
    /// The tool, and the version that was seen to do it.
    pub tool: String,
    /// A bug, a documented limit, or an undocumented choice.
    pub kind: String,
    /// Who promises otherwise.
    pub promised: String,
    /// Where it is known.
    pub known: String,
    /// The script that shows it.
    pub script: String,
    /// What came of it, by kernel.
    pub seen: Vec<Seen>,
}

/// What there is to tell.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What runs found, by behaviour, subject, kernel and backing.
    pub cells: Vec<Cell>,
    /// What tools of others get wrong.
    pub findings: Vec<ToldFinding>,
    /// What failed that is no behaviour of a subject.
    pub failures: Vec<String>,
    /// Parts of campaigns of which the others are there.
    pub missing: Vec<String>,
    /// The runs: kernel, seed, and how much was asked for.
    pub runs: Vec<String>,
}

impl Report {
    /// Of all that runs left, and the pages of findings.
    pub fn of(lines: &[Line], findings: &[Finding], seen: &[Seen]) -> Report {
        let mut by_cell: BTreeMap<_, Vec<&Line>> = BTreeMap::new();
        let is_failure = |line: &Line| line.law.is_none() && line.outcome == Outcome::Broken;
        // Who was asked in one run and not in another was asked.
        let place = |line: &Line| (line.subject.clone(), kernel_of(line), line.backing.clone());
        let asked: BTreeSet<_> = lines.iter().filter(|line| line.law.is_some()).map(place).collect();
        let is_told = |line: &&Line| !is_failure(line) && (line.law.is_some() || !asked.contains(&place(line)));
        for line in lines.iter().filter(is_told) {
            let kernel = kernel_of(line);
            by_cell.entry((&line.law, &line.subject, kernel, &line.backing)).or_default().push(line);
        }
        let cells = by_cell.into_values().filter_map(|lines| cell_of(&lines, findings));
        let failures: BTreeSet<String> = lines.iter().filter(|line| is_failure(line)).map(failure_of).collect();
        let runs: BTreeSet<String> = lines.iter().map(run_of).collect();
        Report {
            cells: cells.collect(),
            findings: findings.iter().map(|finding| told(finding, seen)).collect(),
            failures: failures.into_iter().collect(),
            missing: missing(lines),
            runs: runs.into_iter().collect(),
        }
    }

    /// How many cells tell this.
    pub fn count(&self, told: Told) -> usize {
        self.cells.iter().filter(|cell| cell.told == told).count()
    }

    /// Whether something is not as it should be, or a page not as it was.
    pub fn has_failed(&self) -> bool {
        let is_broken = |cell: &Cell| cell.is_broken;
        let is_changed = |finding: &ToldFinding| finding.seen.iter().any(|seen| seen.outcome.is_failure());
        !self.failures.is_empty() || self.cells.iter().any(is_broken) || self.findings.iter().any(is_changed)
    }
}

/// Of the lines of all parts the one that says most tells.
fn cell_of(lines: &[&Line], findings: &[Finding]) -> Option<Cell> {
    let line = *lines.iter().max_by_key(|line| line.outcome)?;
    let Line { subject, version, backing, .. } = line;
    let behaviour = line.law.clone().unwrap_or_else(|| EVERYTHING.to_owned());
    let kernel = kernel_of(line);
    let is_broken = line.outcome == Outcome::Broken;
    let is_otherwise = is_broken || line.outcome == Outcome::Documented;
    let is_told_by =
        |page: &&Finding| is_otherwise && page.is_about(&behaviour, subject, version.as_deref(), &line.run.kernel);
    let pages: Vec<&Finding> = findings.iter().filter(is_told_by).collect();
    let is_finding = pages.iter().any(|page| !page.is_documented());
    let told = match line.outcome {
        Outcome::NotRun | Outcome::NothingToJudge => Told::NotRun,
        Outcome::Holds => Told::Holds,
        Outcome::Documented if !is_finding => Told::Documented,
        Outcome::Documented | Outcome::Broken => Told::Deviates,
    };
    let reason = line.reason.clone();
    let details = match is_broken {
        true => reason.into_iter().chain([format!("again: {}", again(line))]).collect::<Vec<_>>().join("; "),
        false => reason.unwrap_or_default(),
    };
    let (mut is_about, ids) = list::equation_and_ids(&behaviour);
    if deviations::is_promise(&behaviour) {
        is_about = about(&behaviour);
    }
    let of_page = pages.first().map(|page| page.script.clone());
    Some(Cell {
        about: is_about,
        ids,
        subject: subject.clone(),
        version: version.clone(),
        kernel,
        backing: backing.clone(),
        told,
        is_broken,
        findings: pages.iter().map(|page| page.name.clone()).collect(),
        details: if details == about(&behaviour) { String::new() } else { details },
        script: lines.iter().find_map(|line| line.script.clone()).or(of_page),
        judgements: lines.iter().map(|line| line.judgements).sum(),
        behaviour,
    })
}

fn told(finding: &Finding, seen: &[Seen]) -> ToldFinding {
    let Finding { name, title, tool, kind, promised, known, script, .. } = finding.clone();
    let seen = seen.iter().filter(|seen| seen.finding == name).cloned().collect();
    ToldFinding { name, title, tool, kind, promised, known, script, seen }
}

fn failure_of(line: &Line) -> String {
    let why = line.reason.as_deref().unwrap_or("it failed");
    format!("{} on {}, {}: {why}", line.subject, line.backing, kernel_of(line))
}

fn run_of(line: &Line) -> String {
    let shard = line.run.shard.as_ref().map_or_else(String::new, |shard| format!(" --shard {shard}"));
    format!("kernel {}: --seed {}{shard} {}", kernel_of(line), line.run.seed, line.run.amount)
}

/// Which parts are wanting of what was held in parts; each is from one seed.
fn missing(lines: &[Line]) -> Vec<String> {
    let mut parts: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
    for line in lines {
        if let Some((number, count)) = line.run.shard.as_deref().and_then(|shard| shard.split_once('/')) {
            let campaign = (&line.subject, kernel_of(line), &line.backing, line.run.seed, count);
            parts.entry(campaign).or_default().insert(number);
        }
    }
    let wanting = parts.into_iter().flat_map(|((subject, kernel, backing, seed, count), there)| {
        let all = 1..=count.parse::<u64>().unwrap_or_default();
        let wanting = all.map(|number| number.to_string()).filter(move |number| !there.contains(number.as_str()));
        wanting.map(move |number| format!("part {number}/{count} from seed {seed} of {subject} on {backing}, {kernel}"))
    });
    wanting.collect()
}

/// The release, and whether it was asked as an ordinary user.
fn kernel_of(line: &Line) -> String {
    match line.run.rootless {
        true => format!("{}, rootless", line.run.kernel),
        false => line.run.kernel.clone(),
    }
}

/// The command that runs it once more.
fn again(Line { subject, backing, law, run, .. }: &Line) -> String {
    let law = law.as_deref().unwrap_or_default();
    let shard = run.shard.as_ref().map_or_else(String::new, |shard| format!(" --shard {shard}"));
    let rootless = if run.rootless { " --rootless" } else { "" };
    let (seed, amount) = (run.seed, &run.amount);
    format!("cargo xtask laws {law} --subject {subject} --backing {backing} --seed {seed}{shard}{rootless} {amount}")
}
