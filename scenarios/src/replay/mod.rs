//! Replays a page on a machine: types every command, holds what comes against the page, and reports.
//!
//! *Why*: a page is true only as long as it is run.
//! *Holds*: steps are typed in page order in one shell; a step that fails ends the replay, since all later ones lean on it.
//! *Never*: a fixed sleep; a step counted as passed that was not typed.
//! *Proved by*: `scenarios/tests/replay.rs`.

mod console;
mod failure;
mod normal;
mod report;
mod runner;
mod session;
mod summary;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::page::{Arrangement, Page, Step};
use crate::terminal::TerminalError;

pub use console::ConsoleObserver;
pub use failure::{Failure, Problem};
pub use report::{PageReport, StepReport, StepStatus, TreeReport};
pub use runner::replay;
pub use summary::{PageOutcome, Replayed, STOPPED, Summary};

/// What a page is replayed on: a lab with our engine, or with somebody else's.
pub trait Machine {
    /// The name that `@target` prefixes mean: `layerlab`, `docker`.
    fn target(&self) -> &str;

    /// Does what a line of a `lab` block says; the error says why it cannot.
    fn arrange(&mut self, arrangement: Arrangement) -> Result<(), String>;

    /// The shell to be started on the terminal. Its prompt carries an OSC 133 mark:
    /// `PS1='\[\e]133;D;$?\a\]# '` (or `$ `).
    fn shell(&mut self) -> Result<Command, String>;

    /// What the engine has logged, for reports of failures.
    fn engine_log(&mut self) -> String;

    /// The listing (see [`crate::listing`]) of the engine's data root, empty if it does not exist.
    fn tree(&mut self) -> Result<String, String>;

    /// Where the engine's data root lies, for whoever looks at it entry by entry; `None` if it cannot be reached.
    fn data_root(&self) -> Option<PathBuf> {
        None
    }
}

/// Is told what happens while it happens.
pub trait Observer {
    /// The page begins; `steps` is how many will be shown.
    fn page_started(&mut self, _page: &Page, _target: &str, _steps: usize) {}
    /// `count` steps are typed first without being shown (`--only`).
    fn setting_up(&mut self, _count: usize) {}
    /// A step is about to be typed.
    fn step_started(&mut self, _step: &Step) {}
    /// A step came out as the page says.
    fn step_passed(&mut self, _step: &Step, _report: &StepReport) {}
    /// A step did not.
    fn step_failed(&mut self, _step: &Step, _failure: &Failure) {}
    /// After each shown step, when pauses were asked for: returns when it may go on, or that it shall not.
    fn pause(&mut self, _step: &Step) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    /// The page is over.
    fn page_ended(&mut self, _report: &PageReport) {}
}

/// How to replay.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// Take the tree after every step.
    pub trees: bool,
    /// Look at the data root, entry by entry, after every step.
    pub moments: bool,
    /// Show this step only; all before it are typed as set-up, none after it.
    pub only: Option<usize>,
    /// Call [`Observer::pause`] after each shown step.
    pub pause: bool,
    /// How long a step may take that says nothing else.
    pub timeout: Duration,
    /// The command that replays this page so again, without `--only`; reports of failures tell it.
    pub again: Option<String>,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        ReplayOptions {
            trees: false,
            moments: false,
            only: None,
            pause: false,
            timeout: Duration::from_secs(30),
            again: None,
        }
    }
}

/// Why a page could not be replayed at all. A step that comes out wrong is no error: see [`PageReport::failure`].
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The page does not know the machine.
    #[error("{page} has no words for the target '{target}': add it to `targets:` in the page's front matter")]
    Target {
        /// The page's path.
        page: String,
        /// The machine's target.
        target: String,
    },
    /// `--only` names no step of this page on this target.
    #[error("{page} has no step {step} for the target '{target}'; its steps are 1 to {last}")]
    NoSuchStep {
        /// The page's path.
        page: String,
        /// The step asked for.
        step: usize,
        /// The machine's target.
        target: String,
        /// Number of the last step.
        last: usize,
    },
    /// The machine cannot do what a `lab` block says.
    #[error("{page}:{line}: the machine cannot '{arrangement}': {reason}")]
    Arrange {
        /// The page's path.
        page: String,
        /// Line of the directive.
        line: usize,
        /// The directive.
        arrangement: Arrangement,
        /// What the machine said.
        reason: String,
    },
    /// The machine has no shell to offer.
    #[error("the machine has no shell: {0}")]
    Shell(String),
    /// The terminal does not work, or the first prompt did not come.
    #[error("no prompt from the lab's shell: {source}; on the screen:\n{screen}")]
    Terminal {
        /// What went wrong.
        source: TerminalError,
        /// What was to be seen.
        screen: String,
    },
    /// The listing of the data root could not be made.
    #[error("cannot list the data root after step {step}: {reason}")]
    Tree {
        /// The step before.
        step: usize,
        /// What the machine said.
        reason: String,
    },
}
