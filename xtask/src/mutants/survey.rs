//! What came of each mutant that was asked about, of one run or of several on the same engine.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// What stands in a test's output before who sees something.
const SEEN_BY: &str = "seen by ";

/// What came of all that was asked.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Survey {
    /// The name and version of cargo-mutants.
    pub tool: String,
    /// The names of all that could be asked about.
    pub all: Vec<String>,
    /// Which parts were asked, as `K/N`.
    pub parts: Vec<String>,
    /// What this machine could not be asked.
    pub skips: Vec<String>,
    /// By file and line.
    pub mutants: Vec<Mutant>,
}

/// One changed place, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mutant {
    /// The file, below the root of the workspace.
    pub file: String,
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// What is changed there, in the words of cargo-mutants.
    pub change: String,
    /// What came of it.
    pub came: Came,
}

/// What came of a mutant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Came {
    /// This detector sees it; nothing, where the test ended in another way.
    Killed(Option<String>),
    /// The test did not end.
    TimedOut,
    /// Nobody sees it.
    Survived,
    /// It does not compile.
    Unviable,
}

impl Mutant {
    /// As cargo-mutants calls it.
    pub fn name(&self) -> String {
        format!("{}:{}:{}: {}", self.file, self.line, self.column, self.change)
    }
}

impl Survey {
    /// What is kept at `path`; nothing, where nothing is.
    pub fn read(path: &Path) -> anyhow::Result<Survey> {
        if !path.exists() {
            return Ok(Survey::default());
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}: remove it", path.display()))
    }

    /// Keeps it at `path`.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Those that nobody sees.
    pub fn survivors(&self) -> impl Iterator<Item = &Mutant> {
        self.mutants.iter().filter(|mutant| mutant.came == Came::Survived)
    }

    /// Those that no detector was heard about, though they compile.
    pub fn not_killed(&self) -> impl Iterator<Item = &Mutant> {
        self.mutants.iter().filter(|mutant| matches!(mutant.came, Came::Survived | Came::TimedOut))
    }

    /// Adds what came of some, a part or such as were asked before; of another engine, or another cargo-mutants, all before is forgotten.
    pub fn add(
        &mut self,
        all: Vec<String>,
        tool: &str,
        part: Option<String>,
        mutants: Vec<Mutant>,
        skips: Vec<String>,
    ) {
        if self.all != all || self.tool != tool {
            *self = Survey { all, tool: tool.to_owned(), ..Survey::default() };
        }
        self.mutants.retain(|known| mutants.iter().all(|mutant| mutant.name() != known.name()));
        self.mutants.extend(mutants);
        self.mutants.sort();
        self.parts.extend(part.filter(|part| !self.parts.contains(part)));
        self.skips = skips;
    }
}

/// `outcomes.json` of cargo-mutants, what of it is wanted here.
#[derive(Deserialize)]
struct Outcomes {
    outcomes: Vec<Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: String,
    log_path: String,
}

/// The tree as it is, or a mutant.
#[derive(Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Changed),
}

#[derive(Deserialize)]
struct Changed {
    name: String,
    file: String,
}

/// What cargo-mutants wrote to the directory `out`.
pub fn outcomes(out: &Path) -> anyhow::Result<Vec<Mutant>> {
    let path = out.join("outcomes.json");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let read: Outcomes =
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))?;
    let mut mutants = Vec::new();
    for Outcome { scenario, summary, log_path } in read.outcomes {
        let Scenario::Mutant(changed) = scenario else { continue };
        let came = match summary.as_str() {
            "CaughtMutant" => Came::Killed(seen_by(&fs::read_to_string(out.join(&log_path)).unwrap_or_default())),
            "MissedMutant" => Came::Survived,
            "Timeout" => Came::TimedOut,
            "Unviable" => Came::Unviable,
            other => bail!("{} came out as {other}: {}", changed.name, out.join(&log_path).display()),
        };
        mutants.push(changed.mutant(came)?);
    }
    Ok(mutants)
}

impl Changed {
    fn mutant(self, came: Came) -> anyhow::Result<Mutant> {
        let Changed { name, file } = self;
        let rest = name.strip_prefix(&file).and_then(|rest| rest.strip_prefix(':'));
        let parts = rest.and_then(|rest| rest.split_once(": "));
        let place = parts.and_then(|(place, _)| place.split_once(':'));
        let (Some((line, column)), Some((_, change))) = (place, parts) else {
            bail!("what is meant by the name {name:?} of a mutant in {file}?");
        };
        Ok(Mutant { line: line.parse()?, column: column.parse()?, change: change.to_owned(), file, came })
    }
}

/// The detector that a test's output names.
fn seen_by(log: &str) -> Option<String> {
    let said = log.lines().find_map(|line| line.split_once(SEEN_BY))?;
    said.1.split_once(',').map(|(detector, _)| detector.to_owned())
}
