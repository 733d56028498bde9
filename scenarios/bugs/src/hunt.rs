//! Looks for a bug with every law at once: which law sees it, after how many cases, and in how many steps it can be shown.

use std::path::Path;
use std::time::{Duration, Instant};

use layerlab_properties::campaign::{Campaign, Counts};
use layerlab_properties::laws::{self, Law};
use layerlab_properties::machine::Host;
use layerlab_properties::subjects::Subject;

/// How many steps a case has.
const LENGTH: usize = 40;
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

/// Cases from `first_seed` on, `cases_max` of them; each law watches until it has seen something. With `is_enough` one that did ends the hunt.
pub fn hunt(
    subject: &dyn Subject,
    host: &Host,
    place: &Path,
    first_seed: u64,
    cases_max: u64,
    is_enough: bool,
) -> Vec<Kill> {
    let mut watching: Vec<&'static dyn Law> = laws::ALL.to_vec();
    let (mut kills, mut counts) = (Vec::new(), Counts::default());
    let began = Instant::now();
    let (mut number, mut is_done) = (0, false);
    while number < cases_max && !is_done && !watching.is_empty() {
        let campaign = Campaign { subject, host, laws: &watching, place: place.to_owned(), length: LENGTH };
        let Err(failure) = campaign.run(first_seed + number, &mut counts) else {
            number += 1;
            continue;
        };
        is_done = is_enough || failure.broken.law.is_none();
        let detector = failure.broken.law.unwrap_or(NO_LAW);
        let steps = failure.steps.iter().map(ToString::to_string).collect();
        kills.push(Kill {
            detector,
            cases: number + 1,
            taken: began.elapsed(),
            steps,
            findings: failure.broken.findings,
        });
        watching.retain(|law| law.name() != detector);
    }
    kills
}
