//! What came of several pages together: the table at the end of a replay, its last line, and its exit status.

use std::fmt;

use comfy_table::{Table, presets};

use crate::page::Differences;

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
        /// How many of the page's steps are not the same on all targets.
        differences: Differences,
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

/// One page on one target with one storage driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Its name.
    pub page: String,
    /// What `docker` was.
    pub target: &'static str,
    /// The storage driver, by Docker's name.
    pub driver: &'static str,
    /// How it went.
    pub outcome: PageOutcome,
}

/// Everything that was replayed, in order.
#[derive(Debug, Clone, Default)]
pub struct Summary(Vec<Replayed>);

impl Summary {
    /// Takes in one more page.
    pub fn add(&mut self, replayed: Replayed) {
        self.0.push(replayed);
    }

    /// 0 when all that ran passed, the highest status of one that failed or was stopped (130), 77 when none ran.
    pub fn status(&self) -> u8 {
        let ran = self.0.iter().filter_map(|replayed| match replayed.outcome {
            PageOutcome::Passed { .. } => Some(0),
            PageOutcome::Failed { status } => Some(status),
            PageOutcome::Stopped => Some(STOPPED),
            PageOutcome::Skipped { .. } => None,
        });
        ran.max().unwrap_or(SKIPPED)
    }

    /// A row for each page and driver, a column for each target: steps that passed, how many of them the page marks as
    /// different, how many it leaves out there. The reasons of skips stand below, by number.
    pub fn table(&self) -> String {
        let targets = once_each(self.0.iter().map(|replayed| replayed.target));
        let rows = once_each(self.0.iter().map(|replayed| (replayed.page.as_str(), replayed.driver)));
        let skips = self.skips();
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["page", "driver"].into_iter().chain(targets.iter().copied()));
        for (page, driver) in rows {
            let cell = |target: &&str| {
                let is_meant = |replayed: &&Replayed| {
                    (replayed.page.as_str(), replayed.driver, replayed.target) == (page, driver, *target)
                };
                self.0.iter().find(is_meant).map(|replayed| cell(&replayed.outcome, &skips)).unwrap_or_default()
            };
            table.add_row([page.to_owned(), driver.to_owned()].into_iter().chain(targets.iter().map(cell)));
        }
        let reasons = skips.iter().enumerate().map(|(at, (reason, _))| format!("[{}] {reason}\n", at + 1));
        format!("{table}\n{}", reasons.collect::<String>())
    }

    /// Each reason of a skip once, with its pages.
    fn skips(&self) -> Vec<(&str, Vec<String>)> {
        let mut skips: Vec<(&str, Vec<String>)> = Vec::new();
        for replayed in &self.0 {
            let PageOutcome::Skipped { reason } = &replayed.outcome else { continue };
            let page = self.called(replayed);
            match skips.iter_mut().find(|(known, _)| known == reason) {
                Some((_, pages)) => pages.push(page),
                None => skips.push((reason, vec![page])),
            }
        }
        skips
    }

    /// The page, and its target where there are several.
    fn called(&self, replayed: &Replayed) -> String {
        match self.0.iter().all(|other| other.target == replayed.target) {
            true => replayed.page.clone(),
            false => format!("{} on {}", replayed.page, replayed.target),
        }
    }
}

fn once_each<T: PartialEq>(all: impl Iterator<Item = T>) -> Vec<T> {
    all.fold(Vec::new(), |mut once, item| {
        if !once.contains(&item) {
            once.push(item);
        }
        once
    })
}

fn cell(outcome: &PageOutcome, skips: &[(&str, Vec<String>)]) -> String {
    match outcome {
        PageOutcome::Passed { steps, differences: Differences { unlike, marked, left_out } } => {
            let part = |count: usize, what: &str| match count {
                0 => String::new(),
                count => format!(", {count} {what}"),
            };
            format!("{steps} passed{}{}", part(*marked, &format!("unlike {unlike}")), part(*left_out, "left out"))
        }
        PageOutcome::Failed { .. } => "failed".into(),
        PageOutcome::Stopped => "stopped".into(),
        PageOutcome::Skipped { reason } => {
            let number = skips.iter().position(|(known, _)| known == reason).map_or(0, |at| at + 1);
            format!("skipped [{number}]")
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed = self.0.iter().filter_map(|replayed| match replayed.outcome {
            PageOutcome::Passed { steps, .. } => Some(steps),
            _ => None,
        });
        let (pages, steps) = passed.fold((0, 0), |(pages, sum), steps| (pages + 1, sum + steps));
        let failed = self.0.iter().filter(|replayed| matches!(replayed.outcome, PageOutcome::Failed { .. }));
        let failed: Vec<String> = failed.map(|replayed| self.called(replayed)).collect();
        if !failed.is_empty() {
            write!(f, "{} failed ({}), ", counted(failed.len(), "page"), failed.join(", "))?;
        }
        for replayed in self.0.iter().filter(|replayed| replayed.outcome == PageOutcome::Stopped) {
            write!(f, "stopped in {}, ", self.called(replayed))?;
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

    fn replayed(page: &str, target: &'static str, outcome: &PageOutcome) -> Replayed {
        Replayed { page: page.into(), target, driver: "overlay2", outcome: outcome.clone() }
    }

    fn passed(steps: usize, marked: usize, left_out: usize) -> PageOutcome {
        PageOutcome::Passed { steps, differences: Differences { unlike: "docker", marked, left_out } }
    }

    fn summary(outcomes: &[PageOutcome]) -> Summary {
        let mut summary = Summary::default();
        for (name, outcome) in ["a", "b", "c", "d"].into_iter().zip(outcomes) {
            summary.add(replayed(name, "layerlab", outcome));
        }
        summary
    }

    #[test]
    fn the_last_line_tells_of_all_pages() {
        use PageOutcome::{Failed, Skipped, Stopped};
        let skipped = || Skipped { reason: "this host has no dockerd".into() };
        for (outcomes, line, status) in [
            (vec![passed(5, 0, 0), passed(1, 0, 0)], "2 pages passed, 6 steps", 0),
            (
                vec![passed(1, 0, 0), Failed { status: 1 }, Failed { status: 9 }],
                "2 pages failed (b, c), 1 page passed, 1 step",
                9,
            ),
            (
                vec![skipped(), passed(2, 0, 0), skipped()],
                "1 page passed, 2 steps, 2 skipped (a, c: this host has no dockerd)",
                0,
            ),
            (vec![passed(2, 0, 0), Stopped], "stopped in b, 1 page passed, 2 steps", 130),
            (vec![skipped()], "0 pages passed, 0 steps, 1 skipped (a: this host has no dockerd)", 77),
        ] {
            let summary = summary(&outcomes);
            assert_eq!((summary.to_string().as_str(), summary.status()), (line, status));
        }
    }

    #[test]
    fn the_table_has_a_row_for_each_page_a_column_for_each_target_and_the_reasons_of_skips() {
        let mut summary = Summary::default();
        summary.add(replayed("httpd", "layerlab", &passed(57, 2, 0)));
        summary.add(replayed("httpd", "podman", &passed(40, 12, 17)));
        let reason = "this host has no conmon".to_owned();
        summary.add(replayed("image", "layerlab", &PageOutcome::Failed { status: 1 }));
        summary.add(replayed("image", "podman", &PageOutcome::Skipped { reason }));
        let wanted = "| page  | driver   | layerlab                   | podman                                   |\n\
                      |-------|----------|----------------------------|------------------------------------------|\n\
                      | httpd | overlay2 | 57 passed, 2 unlike docker | 40 passed, 12 unlike docker, 17 left out |\n\
                      | image | overlay2 | failed                     | skipped [1]                              |\n\
                      [1] this host has no conmon\n";
        assert_eq!(summary.table().replace("+--", "|--"), wanted);
        assert!(summary.to_string().starts_with("1 page failed (image on layerlab), 2 pages passed, 97 steps"));
    }
}
