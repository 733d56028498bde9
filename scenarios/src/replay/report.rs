//! What a replay found: every step with its outcome, the transcript, and the trees.

use std::time::Duration;

use super::failure::Failure;
use crate::moment::Moment;

/// The outcome of one page on one machine.
#[derive(Debug, Clone, Default)]
pub struct PageReport {
    /// Every step of the target in page order, those after a failure or after `--only` included (not run).
    pub steps: Vec<StepReport>,
    /// The step that failed, if one did.
    pub failure: Option<Failure>,
    /// The step after which the reader stopped the replay, if so.
    pub stopped: Option<usize>,
    /// Commands and output with names for bound ids, numbers for others and marks for times and sizes: the same from run to run.
    pub transcript: String,
    /// The data root, normalised, after each step or directive that changed it; empty unless asked for.
    pub trees: Vec<TreeReport>,
    /// The data root after each step or directive that changed it, entry by entry; empty unless asked for.
    pub moments: Vec<Moment>,
}

/// The outcome of one step.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Number of the step.
    pub number: usize,
    /// Line of the page.
    pub line: usize,
    /// The prompt it was typed at, names filled in.
    pub prompt: String,
    /// The command as it was typed, names filled in.
    pub command: String,
    /// How it went.
    pub status: StepStatus,
    /// What came, lines joined.
    pub actual: String,
    /// Its exit code, where the lab's shell tells one.
    pub exit: Option<i32>,
    /// From the first key to the next prompt.
    pub duration: Duration,
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStatus {
    /// As the page says.
    Passed,
    /// Otherwise.
    Failed,
    /// Not typed: an earlier step failed, or `--only` names an earlier one.
    NotRun,
}

/// The data root at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeReport {
    /// The step or directive that changed it: `step 12: docker run …`, `lab: start docker`.
    pub after: String,
    /// The normalised listing.
    pub tree: String,
}

impl PageReport {
    /// Whether every step that was to be typed was, and came out as the page says.
    pub fn is_passed(&self) -> bool {
        self.failure.is_none() && self.stopped.is_none()
    }

    /// How many steps went this way.
    pub fn count(&self, status: StepStatus) -> usize {
        self.steps.iter().filter(|step| step.status == status).count()
    }
}
