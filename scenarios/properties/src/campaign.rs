//! Many cases of one subject against some laws; the first that breaks one is made as short as it can be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Step};

use crate::case::{Case, CaseError};
use crate::generate::{Generator, Weights};
use crate::laws::{Law, Watch};
use crate::machine::Host;
use crate::scene::Scene;
use crate::shrink::simplest;
use crate::simplify::proposals;
use crate::subjects::Subject;
use crate::tree::{self, Clock};

/// How often each kind of step came out how.
#[derive(Debug, Clone, Default)]
pub struct Counts(BTreeMap<&'static str, BTreeMap<String, u64>>);

impl Counts {
    /// Counts one step.
    pub fn add(&mut self, step: &Step, result: &Result<Answer, Errno>) {
        let outcome = match result {
            Ok(_) => "ok".to_owned(),
            Err(errno) => errno.to_string(),
        };
        *self.0.entry(step.operation.word()).or_default().entry(outcome).or_default() += 1;
    }

    /// Takes in those of another shard.
    pub fn merge(&mut self, other: Counts) {
        for (word, outcomes) in other.0 {
            for (outcome, count) in outcomes {
                *self.0.entry(word).or_default().entry(outcome).or_default() += count;
            }
        }
    }

    /// All steps.
    pub fn total(&self) -> u64 {
        self.0.values().flat_map(BTreeMap::values).sum()
    }

    /// A line for each kind of step, its outcomes behind it.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|(word, outcomes)| {
            let all: Vec<String> = outcomes.iter().map(|(outcome, count)| format!("{outcome} {count}")).collect();
            format!("{word:<13} {:>8}  {}", outcomes.values().sum::<u64>(), all.join(", "))
        })
    }
}

/// A law that broke, or a case that could not go on (then there is no law).
#[derive(Debug)]
pub struct Broken {
    /// The law's name.
    pub law: Option<&'static str>,
    /// What is not as it should be.
    pub findings: Vec<String>,
}

impl From<CaseError> for Broken {
    fn from(error: CaseError) -> Broken {
        Broken { law: None, findings: vec![error.to_string()] }
    }
}

/// A case that broke a law.
#[derive(Debug)]
pub struct Failure {
    /// What it was drawn from.
    pub seed: u64,
    /// How many steps it had at first.
    pub length: usize,
    /// The shortest part of it that breaks the same law.
    pub steps: Vec<Step>,
    /// What came of that.
    pub broken: Broken,
}

/// What is held against what.
#[derive(Clone)]
pub struct Campaign<'a> {
    /// The subject.
    pub subject: &'a dyn Subject,
    /// The machine.
    pub host: &'a Host,
    /// The laws; all of them watch each case.
    pub laws: &'a [&'static dyn Law],
    /// The directory below which the layers lie.
    pub place: PathBuf,
    /// How many steps a case has.
    pub length: usize,
}

struct Watched {
    case: Case,
    watches: Vec<(&'static str, Box<dyn Watch>)>,
    /// Dropped last: while a case lives, this thread's root is elsewhere.
    _place: tempfile::TempDir,
}

impl Watched {
    fn step(&mut self, step: &Step, is_last: bool) -> Result<Result<Answer, Errno>, Broken> {
        let moment = self.case.step(step, is_last)?;
        for (law, watch) in &mut self.watches {
            watch.after(&moment).map_err(|findings| Broken { law: Some(law), findings })?;
        }
        Ok(moment.actual)
    }
}

impl Campaign<'_> {
    fn begin(&self) -> Result<Watched, Broken> {
        let failed = |error: std::io::Error| Broken { law: None, findings: vec![error.to_string()] };
        let place = tempfile::tempdir_in(&self.place).map_err(failed)?;
        let case = Case::begin(self.subject, self.host, place.path())?;
        let watches = self.laws.iter().map(|law| (law.name(), law.watch())).collect();
        Ok(Watched { case, watches, _place: place })
    }

    fn weights(&self) -> Weights {
        match self.laws {
            [law] => law.weights(),
            _ => Weights::default(),
        }
    }

    /// Draws the case of `seed` and runs it.
    pub fn run(&self, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
        let mut steps = Vec::new();
        let Err(broken) = self.draw(seed, counts, &mut steps) else { return Ok(()) };
        let length = steps.len();
        let law = broken.law;
        let breaks = |part: &[Step]| self.replay(part).is_err_and(|broken| broken.law == law);
        let shrunk = simplest(&steps, proposals, breaks);
        let broken = self.replay(&shrunk).err().unwrap_or_else(|| Broken {
            findings: [&["this does not fail each time".to_owned()], &broken.findings[..]].concat(),
            ..broken
        });
        Err(Failure { seed, length, steps: shrunk, broken })
    }

    fn draw(&self, seed: u64, counts: &mut Counts, steps: &mut Vec<Step>) -> Result<(), Broken> {
        let mut generator = Generator::new(seed, self.weights(), self.host.has_other_user);
        let mut watched = self.begin()?;
        for number in 1..=self.length {
            let step = generator.step(watched.case.model());
            if watched.case.model().promises_nothing_of(&step) {
                continue;
            }
            steps.push(step.clone());
            counts.add(&step, &watched.step(&step, number == self.length)?);
        }
        Ok(())
    }

    /// Runs a case that is known.
    pub fn replay(&self, steps: &[Step]) -> Result<(), Broken> {
        let mut watched = self.begin()?;
        for (number, step) in steps.iter().enumerate() {
            if watched.case.model().promises_nothing_of(step) {
                continue;
            }
            drop(watched.step(step, number + 1 == steps.len())?);
        }
        Ok(())
    }
    /// Runs a case that is known once more: what is to be seen where it breaks a law, or at its end. None when it cannot begin.
    pub fn scene(&self, steps: &[Step]) -> Option<Scene> {
        let mut watched = self.begin().ok()?;
        let mut clock = Clock::new();
        for (number, step) in steps.iter().enumerate() {
            if watched.case.model().promises_nothing_of(step) {
                continue;
            }
            let is_broken = watched.step(step, number + 1 == steps.len()).is_err();
            let expected = tree::of_union(watched.case.model().union());
            // Only the clock is wanted.
            drop(tree::differences(&expected, &watched.case.view().merged, &mut clock));
            if is_broken {
                break;
            }
        }
        Some(Scene::of(&watched.case, clock))
    }
}
