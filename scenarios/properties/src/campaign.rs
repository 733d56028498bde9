//! Many cases of one subject against some laws; the first that breaks one is made as short as it can be.

use std::path::PathBuf;

use layerlab_model::operation::{Operation, Step, User};

use crate::case::{Case, CaseError};
use crate::generate::{Generator, Weights};
use crate::laws::{Law, Watch};
use crate::machine::Host;
use crate::pace::Pace;
use crate::place;
use crate::scene::Scene;
use crate::shrink::simplest;
use crate::simplify::proposals;
use crate::subjects::Subject;
use crate::tree::{self, Clock};

pub use crate::counts::Counts;

/// What is said of a case that held when it was run again.
pub const NOT_EACH_TIME: &str = "this does not fail each time";
/// How often such a case is run until it fails once more.
const TRIES: usize = 20;

/// A law that broke, or a case that could not go on (then there is no law).
#[derive(Debug)]
pub struct Broken {
    /// The law's name.
    pub law: Option<&'static str>,
    /// What is not as it should be.
    pub findings: Vec<String>,
    /// A driver program gave no answer: a shorter case would not tell more, and each takes as long.
    pub is_silence: bool,
}

impl Broken {
    /// By this law, with these findings.
    pub fn by(law: Option<&'static str>, findings: Vec<String>) -> Broken {
        Broken { law, findings, is_silence: false }
    }
}

impl From<CaseError> for Broken {
    fn from(error: CaseError) -> Broken {
        let is_silence = matches!(&error, CaseError::Subject(error) if error.is_silence());
        Broken { is_silence, ..Broken::by(None, vec![error.to_string()]) }
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
    laws: Vec<&'static dyn Law>,
    watches: Vec<(&'static str, Box<dyn Watch>)>,
    /// Dropped last: while a case lives, this thread's root is elsewhere.
    _place: tempfile::TempDir,
}

impl Watched {
    fn step(&mut self, step: &Step, is_last: bool, counts: &mut Counts) -> Result<(), Broken> {
        if !self.laws.iter().any(|law| law.looks_at(step, is_last)) {
            return self.pass(step, counts);
        }
        let moment = self.case.step(step, is_last)?;
        counts.add(step, &moment.actual);
        for (law, watch) in &mut self.watches {
            let judged = watch.after(&moment).map_err(|findings| Broken::by(Some(law), findings))?;
            counts.judge(law, judged);
        }
        Ok(())
    }
}

impl Watched {
    /// A step of which no law looks at the trees; what it gives is judged for the first of them all the same.
    fn pass(&mut self, step: &Step, counts: &mut Counts) -> Result<(), Broken> {
        let (expected, actual) = self.case.pass(step)?;
        counts.add(step, &actual);
        if expected == actual {
            return Ok(());
        }
        let findings = vec![format!("the last step should give {expected:?}, gives {actual:?}")];
        Err(Broken::by(self.laws.first().map(|law| law.name()), findings))
    }
}

impl Campaign<'_> {
    /// Begins a case that `laws` watch.
    fn begin(&self, laws: Vec<&'static dyn Law>) -> Result<Watched, Broken> {
        let failed = |error: std::io::Error| Broken::by(None, vec![error.to_string()]);
        let place = place::made(&self.place, self.subject.promises(self.host).paths_are_odd).map_err(failed)?;
        let case = Case::begin(self.subject, self.host, place.path())?;
        let watches = laws.iter().map(|law| (law.name(), law.watch())).collect();
        Ok(Watched { case, laws, watches, _place: place })
    }

    /// The law that the case of `seed` is drawn for; all of them watch it, but for the others that take their time.
    fn law_of(&self, seed: u64) -> Option<&'static dyn Law> {
        let count = self.laws.len() as u64;
        seed.checked_rem(count).map(|number| self.laws[number as usize])
    }

    /// Draws the case of `seed` and runs it; one that breaks a law is made short.
    pub fn run(&self, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
        self.find(seed, counts).map_err(|failure| self.shrunk(failure))
    }

    /// Draws the case of `seed` and runs it; one that breaks a law stays as it was drawn.
    pub fn find(&self, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
        let mut steps = Vec::new();
        let drawn = self.draw(seed, counts, &mut steps);
        drawn.map_err(|broken| Failure { seed, length: steps.len(), steps, broken })
    }

    /// The shortest part of a failure that breaks the same law.
    pub fn shrunk(&self, failure: Failure) -> Failure {
        self.shrunk_within(failure, Pace::FREE)
    }

    /// The shortest part of a failure that is found in that time.
    pub fn shrunk_within(&self, failure: Failure, pace: Pace) -> Failure {
        if failure.broken.is_silence {
            return failure;
        }
        let Failure { steps, broken, .. } = failure;
        let law = broken.law;
        // Only the law that broke goes on watching: another that a part breaks first would be in its way.
        let it = self.laws.iter().copied().filter(|one| Some(one.name()) == law);
        let laws: Vec<&'static dyn Law> = it.collect();
        let broken_by = |part: &[Step]| self.replay_for(part, laws.clone()).err().filter(|broken| broken.law == law);
        let shrunk = simplest(&steps, proposals, |part| !pace.is_over() && broken_by(part).is_some());
        let broken = broken_by(&shrunk).unwrap_or_else(|| {
            let again = (0..TRIES).find_map(|_| broken_by(&shrunk)).unwrap_or(broken);
            Broken { findings: [&[NOT_EACH_TIME.to_owned()], &again.findings[..]].concat(), ..again }
        });
        Failure { steps: shrunk, broken, ..failure }
    }

    fn draw(&self, seed: u64, counts: &mut Counts, steps: &mut Vec<Step>) -> Result<(), Broken> {
        let law = self.law_of(seed);
        let weights = law.map_or_else(Weights::default, |law| law.weights());
        let mut generator = Generator::new(seed, weights, self.host.has_other_user);
        let is_watching =
            |one: &&'static dyn Law| !one.takes_its_time() || law.is_some_and(|law| law.name() == one.name());
        let mut watched = self.begin(self.laws.iter().copied().filter(is_watching).collect())?;
        let layers = if let [law] = self.laws { law.layers_first(seed) } else { 0 };
        let length = 2 * layers + self.length;
        for number in 1..=length {
            let is_layer = number % 2 == 0 && number <= 2 * layers;
            let step = match is_layer {
                true => Step { user: User::Root, operation: Operation::Commit },
                false => generator.step(watched.case.model()),
            };
            if watched.case.model().promises_nothing_of(&step) {
                counts.leave_out(&step);
                continue;
            }
            steps.push(step.clone());
            watched.step(&step, number == length, counts)?;
        }
        Ok(())
    }

    /// Runs a case that is known.
    pub fn replay(&self, steps: &[Step]) -> Result<(), Broken> {
        self.replay_for(steps, self.laws.to_vec())
    }

    fn replay_for(&self, steps: &[Step], laws: Vec<&'static dyn Law>) -> Result<(), Broken> {
        let mut watched = self.begin(laws)?;
        for (number, step) in steps.iter().enumerate() {
            if watched.case.model().promises_nothing_of(step) {
                continue;
            }
            watched.step(step, number + 1 == steps.len(), &mut Counts::default())?;
        }
        Ok(())
    }

    /// Runs a case that is known once more: what is to be seen where it breaks a law, or at its end. None when it cannot begin.
    pub fn scene(&self, steps: &[Step]) -> Option<Scene> {
        let mut watched = self.begin(self.laws.to_vec()).ok()?;
        let mut clock = Clock::new();
        for (number, step) in steps.iter().enumerate() {
            if watched.case.model().promises_nothing_of(step) {
                continue;
            }
            let is_last = number + 1 == steps.len();
            let is_broken = match self.laws.iter().any(|law| law.looks_at(step, is_last)) {
                true => watched.step(step, is_last, &mut Counts::default()).is_err(),
                false => watched.case.step(step, is_last).is_err(),
            };
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
