//! What came of several pages together: the last line of a replay, and its exit status.

use std::fmt;

/// As automake and others have it: not run, because this host cannot.
const SKIPPED: u8 = 77;
/// As a shell has it for a program that ctrl-C ended.
pub const STOPPED: u8 = 130;

/// How one page went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageOutcome {
    /// As the page says.
    Passed {
        /// How many steps were shown.
        steps: usize,
    },
    /// Otherwise.
    Failed {
        /// The exit status of its lab.
        status: u8,
    },
    /// Stopped by the reader.
    Stopped,
    /// Not run.
    Skipped {
        /// Why not.
        reason: String,
    },
}

/// Every page with its outcome, in the order of the replay.
#[derive(Debug, Clone, Default)]
pub struct Summary(Vec<(String, PageOutcome)>);

impl Summary {
    /// Takes in one more page.
    pub fn add(&mut self, page: String, outcome: PageOutcome) {
        self.0.push((page, outcome));
    }

    /// 0 when all that ran passed, the highest status of one that failed or was stopped (130), 77 when none ran.
    pub fn status(&self) -> u8 {
        let ran = self.0.iter().filter_map(|(_, outcome)| match outcome {
            PageOutcome::Passed { .. } => Some(0),
            PageOutcome::Failed { status } => Some(*status),
            PageOutcome::Stopped => Some(STOPPED),
            PageOutcome::Skipped { .. } => None,
        });
        ran.max().unwrap_or(SKIPPED)
    }

    /// Each reason of a skip once, with its pages.
    fn skips(&self) -> Vec<(&str, Vec<&str>)> {
        let mut skips: Vec<(&str, Vec<&str>)> = Vec::new();
        for (page, outcome) in &self.0 {
            let PageOutcome::Skipped { reason } = outcome else { continue };
            match skips.iter_mut().find(|(known, _)| known == reason) {
                Some((_, pages)) => pages.push(page),
                None => skips.push((reason, vec![page])),
            }
        }
        skips
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.0.iter().filter_map(|(_, outcome)| match outcome {
            PageOutcome::Passed { steps } => Some(*steps),
            _ => None,
        });
        let (pages, steps) = passed.fold((0, 0), |(pages, sum), steps| (pages + 1, sum + steps));
        let failed = self.0.iter().filter(|(_, outcome)| matches!(outcome, PageOutcome::Failed { .. }));
        let failed: Vec<&str> = failed.map(|(page, _)| page.as_str()).collect();
        if !failed.is_empty() {
            write!(f, "{} failed ({}), ", counted(failed.len(), "page"), failed.join(", "))?;
        }
        for (page, _) in self.0.iter().filter(|(_, outcome)| *outcome == PageOutcome::Stopped) {
            write!(f, "stopped in {page}, ")?;
        }
        write!(f, "{} passed, {}", counted(pages, "page"), counted(steps, "step"))?;
        for (reason, pages) in self.skips() {
            write!(f, ", {} skipped ({}: {reason})", pages.len(), pages.join(", "))?;
        }
        Ok(())
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(outcomes: &[PageOutcome]) -> Summary {
        let mut summary = Summary::default();
        for (name, outcome) in ["a", "b", "c", "d"].into_iter().zip(outcomes) {
            summary.add(name.into(), outcome.clone());
        }
        summary
    }

    #[test]
    fn the_last_line_tells_of_all_pages() {
        use PageOutcome::{Failed, Passed, Skipped, Stopped};
        let skipped = || Skipped { reason: "this host has no dockerd".into() };
        for (outcomes, line, status) in [
            (vec![Passed { steps: 5 }, Passed { steps: 1 }], "2 pages passed, 6 steps", 0),
            (
                vec![Passed { steps: 1 }, Failed { status: 1 }, Failed { status: 9 }],
                "2 pages failed (b, c), 1 page passed, 1 step",
                9,
            ),
            (
                vec![skipped(), Passed { steps: 2 }, skipped()],
                "1 page passed, 2 steps, 2 skipped (a, c: this host has no dockerd)",
                0,
            ),
            (vec![Passed { steps: 2 }, Stopped], "stopped in b, 1 page passed, 2 steps", 130),
            (vec![skipped()], "0 pages passed, 0 steps, 1 skipped (a: this host has no dockerd)", 77),
        ] {
            let summary = summary(&outcomes);
            assert_eq!((summary.to_string().as_str(), summary.status()), (line, status));
        }
    }
}
