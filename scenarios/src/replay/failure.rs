//! A step that did not come out as its page says, told so that the reader can mend page or engine without running it again.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::matcher::Bindings;

/// All that is known about a step that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The page's file.
    pub page: PathBuf,
    /// The command that replays the page so again.
    pub again: String,
    /// The machine's target.
    pub target: String,
    /// Number of the step.
    pub step: usize,
    /// Line of the page.
    pub line: usize,
    /// Prompt and command as the page writes them.
    pub command: String,
    /// What is wrong; at least one thing.
    pub problems: Vec<Problem>,
    /// The lines that must come, as the page writes them.
    pub expected: Vec<String>,
    /// What came, line by line.
    pub actual: Vec<String>,
    /// What the names stood for when the command was typed.
    pub bindings: Bindings,
    /// What the engine logged during the step.
    pub engine_log: String,
}

/// One thing that is wrong with a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Other output than expected.
    Output {
        /// Unified diff, expected to actual.
        diff: String,
        /// What is known about names that do not fit.
        notes: Vec<String>,
    },
    /// Another exit code than expected.
    Exit {
        /// The page's.
        wanted: i32,
        /// The shell's.
        got: i32,
    },
    /// Another prompt than the next step is typed at.
    Prompt {
        /// The page's.
        wanted: String,
        /// The screen's.
        found: String,
    },
    /// Something did not show in time.
    TimedOut {
        /// What was waited for.
        awaited: String,
        /// How long.
        timeout: Duration,
    },
    /// The shell ended.
    ShellEnded {
        /// What was waited for.
        awaited: String,
    },
    /// The shell took a line as a whole command although the page goes on with `> `.
    CommandTooShort {
        /// The line.
        line: String,
    },
    /// The shell's prompt showed while `? keys` were still to be pressed.
    KeysTooLate {
        /// What the keys waited for.
        awaited: String,
    },
    /// More lines than are kept.
    TooMuchOutput,
    /// The command uses a name without a value.
    Unbound(String),
    /// The terminal itself.
    Terminal(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Output { diff, notes } => {
                write!(f, "the output is not what the page expects:\n{}", diff.trim_end())?;
                notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))
            }
            Problem::Exit { wanted, got } => write!(f, "exit code {got}, the page expects {wanted}"),
            Problem::Prompt { wanted, found } => {
                write!(f, "the prompt is '{found}', but the page goes on at the prompt '{wanted}'")
            }
            Problem::TimedOut { awaited, timeout } => {
                write!(
                    f,
                    "{awaited} did not show within {} s (a step may take longer with `? timeout`)",
                    timeout.as_secs_f32()
                )
            }
            Problem::ShellEnded { awaited } => write!(f, "the shell ended before {awaited} showed"),
            Problem::CommandTooShort { line } => {
                write!(
                    f,
                    "the shell took '{line}' as a whole command: the page's next line '> …' must be a step of its own"
                )
            }
            Problem::KeysTooLate { awaited } => {
                write!(f, "the program ended before it showed {awaited}")
            }
            Problem::TooMuchOutput => f.write_str("the step printed more lines than the terminal keeps: print less"),
            Problem::Unbound(what) | Problem::Terminal(what) => f.write_str(what),
        }
    }
}

impl Failure {
    /// The command that replays just this step.
    pub fn command_line(&self) -> String {
        format!("{} --only {}", self.again, self.step)
    }

    fn shows_output(&self) -> bool {
        self.problems.iter().any(|problem| matches!(problem, Problem::Output { .. }))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: step {} failed on {}", self.page.display(), self.line, self.step, self.target)?;
        writeln!(f, "  {}\n", self.command)?;
        for problem in &self.problems {
            writeln!(f, "{problem}\n")?;
        }
        if !self.shows_output() {
            block(f, "expected", &self.expected)?;
            block(f, "on the screen", &self.actual)?;
        }
        if !self.bindings.is_empty() {
            writeln!(f, "names so far:")?;
            for (name, bound) in self.bindings.iter() {
                writeln!(f, "  {name} = {} (step {}, line {})", bound.value, bound.origin.step, bound.origin.line)?;
            }
            writeln!(f)?;
        }
        let log: Vec<String> = self.engine_log.lines().map(str::to_owned).collect();
        block(f, "engine's log", &log)?;
        write!(f, "to run just this step: {}", self.command_line())
    }
}

fn block(f: &mut fmt::Formatter<'_>, title: &str, lines: &[String]) -> fmt::Result {
    if lines.is_empty() {
        return writeln!(f, "{title}: nothing\n");
    }
    writeln!(f, "{title}:")?;
    lines.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
    writeln!(f)
}
