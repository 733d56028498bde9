//! What many runs found, put together: behaviour × subject × kernel × backing, as Markdown, as one HTML page, and as JUnit's XML.
//!
//! *Holds*: a cell of which one part broke is broken, whatever the others did; what was not run is told with its reason, and never counts as held. Findings, which need no run,
//! stand beside. `layerlab-report` writes it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::finding::Finding;
use crate::list;
use crate::results::{Line, Outcome};

pub mod html;
pub mod junit;
pub mod markdown;

/// One cell: a behaviour of a subject on a kernel and a backing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// A law or situation, or the title of a finding.
    pub behaviour: String,
    /// What it says, in a line; empty where its name says it.
    pub about: String,
    /// Ids of the checklist.
    pub ids: String,
    /// The subject, or a finding's tool with its version.
    pub subject: String,
    /// The kernel's release; of a finding none.
    pub kernel: String,
    /// What the layers lay on; of a finding nothing.
    pub backing: String,
    /// In a word or two: `holds`, `broken`, `nothing to judge`, `not run`, or of a finding its kind.
    pub outcome: String,
    /// Why, or what to do to see it again.
    pub details: String,
    /// The script that shows it.
    pub script: Option<String>,
    /// How often there was something to judge.
    pub judgements: u64,
}

/// What there is to tell.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What runs found, by behaviour, subject, kernel and backing.
    pub cells: Vec<Cell>,
    /// What tools of others get wrong.
    pub findings: Vec<Cell>,
    /// Parts of campaigns of which the others are there.
    pub missing: Vec<String>,
}

/// The words for an outcome.
pub fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotRun => "not run",
        Outcome::NothingToJudge => "nothing to judge",
        Outcome::Holds => "holds",
        Outcome::Broken => "broken",
    }
}

impl Report {
    /// Of the lines of all runs.
    pub fn of(lines: &[Line], findings: &[Finding]) -> Report {
        let mut by_cell: BTreeMap<_, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            let kernel = kernel_of(line);
            by_cell.entry((&line.law, &line.subject, kernel, &line.backing)).or_default().push(line);
        }
        let cells = by_cell.into_iter().map(|((law, subject, kernel, backing), lines)| {
            // Of all parts the one that says most.
            let told = lines.iter().max_by_key(|line| line.outcome).map_or(Outcome::NotRun, |line| line.outcome);
            let teller = lines.iter().find(|line| line.outcome == told);
            let details = match (told, teller) {
                (Outcome::Broken, Some(Line { reason: Some(reason), .. })) => reason.clone(),
                (Outcome::Broken, Some(line)) => again(line),
                (_, Some(line)) => line.reason.clone().unwrap_or_default(),
                (_, None) => String::new(),
            };
            let (about, ids) = law.as_deref().map(list::equation_and_ids).unwrap_or_default();
            Cell {
                behaviour: law.clone().unwrap_or_else(|| "everything".to_owned()),
                about,
                ids,
                subject: subject.clone(),
                kernel,
                backing: backing.clone(),
                outcome: words(told).to_owned(),
                details,
                script: lines.iter().find_map(|line| line.script.clone()),
                judgements: lines.iter().map(|line| line.judgements).sum(),
            }
        });
        let findings = findings.iter().map(cell_of).collect();
        Report { cells: cells.collect(), findings, missing: missing(lines) }
    }

    /// How many cells have this outcome.
    pub fn count(&self, outcome: Outcome) -> usize {
        self.cells.iter().filter(|cell| cell.outcome == words(outcome)).count()
    }
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

fn cell_of(finding: &Finding) -> Cell {
    Cell {
        behaviour: finding.title.clone(),
        about: format!("promised: {}", finding.promised),
        ids: String::new(),
        subject: finding.tool.clone(),
        kernel: String::new(),
        backing: String::new(),
        outcome: finding.kind.clone(),
        details: format!("known: {}", finding.known),
        script: Some(finding.script.clone()),
        judgements: 0,
    }
}
