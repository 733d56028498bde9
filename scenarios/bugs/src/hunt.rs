//! Looks for a bug with every law at once: which law sees it, after how many cases, and in how many steps it can be shown.

use std::path::Path;
use std::time::{Duration, Instant};

use layerlab_engine::driver;
use layerlab_properties::campaign::{self, Counts};
use layerlab_properties::laws;
use layerlab_properties::machine::Host;
use layerlab_properties::received;
use layerlab_properties::stores::{self, case};
use layerlab_properties::subjects::SubjectError;

use crate::bug::{Bug, Home};
use crate::seeded::{self, Seeded};

/// How many steps a case of a tree has.
const STEPS: usize = 40;
/// How many acts a case of a store has.
const ACTS: usize = 13;
/// What is said to have seen a bug that lets no case go on.
pub const NO_LAW: &str = "a-case-goes-on";

/// That a detector saw a bug.
#[derive(Debug, Clone)]
pub struct Kill {
    /// Who saw it: a law's name, or [`NO_LAW`].
    pub detector: &'static str,
    /// How many cases that took.
    pub cases: u64,
    /// How long that took.
    pub taken: Duration,
    /// The steps that show it.
    pub steps: Vec<String>,
    /// What is not as it should be.
    pub findings: Vec<String>,
}

/// How long it is looked.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Where the random numbers begin.
    pub first_seed: u64,
    /// How many cases of each kind at most.
    pub cases_max: u64,
    /// Whether one law that sees it is enough.
    pub is_first_enough: bool,
}

/// Every detector, by name.
pub fn detectors() -> Vec<&'static str> {
    let trees = laws::ALL.iter().map(|law| law.name());
    trees.chain(received::laws()).chain(stores::laws::ALL.iter().map(|law| law.name())).collect()
}

/// Everybody who sees `bug`, in the order in which they do, by cases below the directory `place`. The thread has been prepared
/// ([`layerlab_properties::case::prepare_thread`]) and has mounts of its own.
pub fn hunt(name: &str, bug: &'static dyn Bug, host: &Host, place: &Path, effort: Effort) -> Vec<Kill> {
    let mut kills = Vec::new();
    if let Some(subject) = Seeded::of(name, bug) {
        let run = |watching: &[&'static dyn laws::Law], seed| {
            let campaign =
                campaign::Campaign { subject: &subject, host, laws: watching, place: place.to_owned(), length: STEPS };
            let failure = campaign.run(seed, &mut Counts::default()).err()?;
            Some((failure.broken, failure.steps.iter().map(ToString::to_string).collect()))
        };
        kills.extend(chase(effort, laws::ALL.to_vec(), |law| law.name(), run));
    }
    let (Home::Driver(driver) | Home::Store(driver)) = bug.home() else { return kills };
    if !kills.is_empty() && effort.is_first_enough {
        return kills;
    }
    let open = |place: &Path| {
        let right = driver::open(Some(driver), place).map_err(SubjectError::of("open a driver in", place))?;
        Ok(seeded::seeded(bug, right))
    };
    let run = |watching: &[&'static str], seed| {
        let campaign = received::Campaign { open: &open, laws: watching, place: place.to_owned() };
        let failure = campaign.run(seed, &mut Counts::default()).err()?;
        Some((failure.broken, failure.parts.iter().map(|part| format!("{part:?}")).collect()))
    };
    kills.extend(chase(effort, received::laws(), |law| law, run));
    if !kills.is_empty() && effort.is_first_enough {
        return kills;
    }
    let run = |watching: &[&'static dyn stores::laws::Law], seed| {
        let begin = |place: &Path| seeded::shop(bug, driver, place);
        let campaign = case::Campaign { begin: &begin, laws: watching, place: place.to_owned(), length: ACTS };
        let failure = campaign.run(seed, &mut Counts::default()).err()?;
        Some((failure.broken, failure.acts.iter().map(|act| format!("{act:?}")).collect()))
    };
    kills.extend(chase(effort, stores::laws::ALL.to_vec(), |law| law.name(), run));
    kills
}

/// Runs case after case; each law watches until it has seen something.
fn chase<L: Copy>(
    effort: Effort,
    mut watching: Vec<L>,
    name: impl Fn(&L) -> &'static str,
    run: impl Fn(&[L], u64) -> Option<(campaign::Broken, Vec<String>)>,
) -> Vec<Kill> {
    let began = Instant::now();
    let (mut kills, mut number) = (Vec::new(), 0);
    while number < effort.cases_max && !watching.is_empty() {
        let Some((broken, steps)) = run(&watching, effort.first_seed + number) else {
            number += 1;
            continue;
        };
        let detector = broken.law.unwrap_or(NO_LAW);
        kills.push(Kill { detector, cases: number + 1, taken: began.elapsed(), steps, findings: broken.findings });
        if effort.is_first_enough || broken.law.is_none() {
            break;
        }
        watching.retain(|law| name(law) != detector);
    }
    kills
}
