//! What came of runs, a line of JSON for each law, subject and backing: so that what many machines held can be put together.
//!
//! *Holds*: a line says all that it takes to run it again (subject, backing, seed, part); lines of several runs may stand in one file. `layerlab-laws --results FILE` adds
//! to it, `layerlab-report` ([`crate::report`]) reads it.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use layerlab_model::promises::about;
use serde::{Deserialize, Serialize};

use crate::counts::Counts;
use crate::finding::Seen;
use crate::version;

/// What is the same for all that comes of one run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Run {
    /// The kernel's release.
    pub kernel: String,
    /// In a user namespace, as an ordinary user has it.
    pub rootless: bool,
    /// Where the random numbers began.
    pub seed: u64,
    /// Which part of the cases, `2/3`; all without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
    /// How much was asked for, as the options that say so: `--cases 500 --steps 40`.
    pub amount: String,
}

/// What came of a law with a subject on a backing in a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// The subject.
    pub subject: String,
    /// What it is of that others release ([`version::of`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What the layers lay on.
    pub backing: String,
    /// The law or situation, or a promise that the subject does not make; none where it is about the subject as a whole.
    pub law: Option<String>,
    /// What came of it.
    pub outcome: Outcome,
    /// Why nothing was judged, what is documented, or what was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The script that shows what broke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// How often there was something to judge.
    pub judgements: u64,
    /// The run.
    #[serde(flatten)]
    pub run: Run,
}

/// Of several in one cell of a table the last is what is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The subject, or the backing, is not to be had there.
    NotRun,
    /// Nothing came that the law is about, or the subject has nothing of the kind.
    NothingToJudge,
    /// It held.
    Holds,
    /// It is otherwise than where there are no layers, as documented.
    Documented,
    /// It broke.
    Broken,
}

/// What there is to tell of a law that broke.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Break {
    /// What was found.
    pub why: Option<String>,
    /// The script that shows it.
    pub script: Option<String>,
}

/// What comes of a run, as it goes on.
#[derive(Debug)]
pub struct Outcomes {
    run: Run,
    lines: Vec<Line>,
    /// By subject, once it was asked for.
    versions: BTreeMap<String, Option<String>>,
}

impl Outcomes {
    /// Of a run of which nothing has come yet.
    pub fn of(run: Run) -> Outcomes {
        Outcomes { run, lines: Vec::new(), versions: BTreeMap::new() }
    }

    /// What came until now.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// A subject was held against `laws` on a backing, of which some are `broken`. What came of it before does not count any more.
    pub fn held<'a>(
        &mut self,
        place: (&str, &str),
        laws: impl Iterator<Item = &'a str>,
        counts: &Counts,
        broken: &BTreeMap<String, Break>,
    ) {
        let laws: Vec<&str> = laws.collect();
        let idle = counts.idle(laws.iter().copied(), "it");
        let blank = self.line(place, Outcome::Holds);
        let lines = laws.iter().map(|law| {
            let why = idle.iter().find(|(_, idle)| idle.contains(law)).map(|(why, _)| why.clone());
            let told = Line { law: Some((*law).to_owned()), judgements: counts.judgements_of(law), ..blank.clone() };
            match (broken.get(*law), why, counts.unpromised_to(law)) {
                (Some(Break { why, script }), ..) => {
                    Line { outcome: Outcome::Broken, reason: why.clone(), script: script.clone(), ..told }
                }
                (None, Some(why), Some(promise)) => {
                    let reason = Some(format!("{why}: {}", about(promise)));
                    Line { outcome: Outcome::Documented, reason, ..told }
                }
                (None, Some(why), None) => Line { outcome: Outcome::NothingToJudge, reason: Some(why), ..told },
                (None, None, _) => told,
            }
        });
        let lines: Vec<Line> = lines.collect();
        let is_anew = |old: &Line| {
            lines.iter().any(|new| (&new.law, &new.subject, &new.backing) == (&old.law, &old.subject, &old.backing))
        };
        self.lines.retain(|old| !is_anew(old));
        self.lines.extend(lines);
    }

    /// A subject does not make these promises on a backing, by its own word.
    pub fn deviates(&mut self, place: (&str, &str), promises: &[String]) {
        let blank = self.line(place, Outcome::Documented);
        let lines = promises.iter().map(|promise| Line {
            law: Some(promise.clone()),
            reason: Some(about(promise)),
            ..blank.clone()
        });
        self.lines.extend(lines.collect::<Vec<_>>());
    }

    /// There was no time for these laws.
    pub fn late<'a>(&mut self, place: (&str, &str), laws: impl IntoIterator<Item = &'a str>, why: &str) {
        let blank = self.line(place, Outcome::NotRun);
        for law in laws {
            let reason = Some(why.to_owned());
            self.lines.push(Line { law: Some(law.to_owned()), reason, ..blank.clone() });
        }
    }

    /// A subject could not be asked on a backing.
    pub fn refused(&mut self, place: (&str, &str), why: &str) {
        let line = self.line(place, Outcome::NotRun);
        self.lines.push(Line { reason: Some(why.to_owned()), ..line });
    }

    /// Something failed that is no law of this run.
    pub fn failed(&mut self, place: (&str, &str), why: &str) {
        let line = self.line(place, Outcome::Broken);
        self.lines.push(Line { reason: Some(why.to_owned()), ..line });
    }

    fn line(&mut self, (subject, backing): (&str, &str), outcome: Outcome) -> Line {
        let version = self.versions.entry(subject.to_owned()).or_insert_with(|| version::of(subject)).clone();
        Line {
            subject: subject.to_owned(),
            version,
            backing: backing.to_owned(),
            law: None,
            outcome,
            reason: None,
            script: None,
            judgements: 0,
            run: self.run.clone(),
        }
    }
}

/// All that files of results have.
#[derive(Debug, Default)]
pub struct Results {
    /// What came of laws.
    pub lines: Vec<Line>,
    /// What came of pages about tools of others.
    pub seen: Vec<Seen>,
}

/// What a line of such a file can be.
#[derive(Deserialize)]
#[serde(untagged)]
enum Record {
    Law(Line),
    Finding(Seen),
}

/// Adds `lines` to the file at `path`, which need not be there yet.
///
/// # Errors
/// When it cannot be written.
pub fn add(path: &Path, lines: &[impl Serialize]) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    // One write, since several runs may share the file.
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(&text)).with_context(|| format!("cannot write {}", path.display()))
}

/// What all files at `paths` have.
///
/// # Errors
/// When one cannot be read, or has a line that is none.
pub fn read(paths: &[PathBuf]) -> anyhow::Result<Results> {
    let mut results = Results::default();
    for path in paths {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        for (number, line) in (1..).zip(text.lines()) {
            let record = serde_json::from_str(line)
                .with_context(|| format!("{}:{number} is no result of layerlab-laws", path.display()))?;
            match record {
                Record::Law(line) => results.lines.push(line),
                Record::Finding(seen) => results.seen.push(seen),
            }
        }
    }
    Ok(results)
}
