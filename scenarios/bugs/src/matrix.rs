//! The kill matrix: which detector sees which bug, after how many cases, and in how few steps it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use layerlab_properties::case::prepare_thread;
use layerlab_properties::machine::Host;

use crate::catalogue::Entry;
use crate::hunt::{self, Effort, Kill};

/// How many seeds lie between two searches.
const SEEDS_APART: u64 = 1_000_000;

/// What became of one bug.
pub struct Row {
    /// The bug's name.
    pub bug: String,
    /// Where it happened.
    pub origin: String,
    /// How often it was looked for.
    pub searches: usize,
    /// Who saw it, each with what each search that saw it took.
    pub kills: BTreeMap<&'static str, Vec<Kill>>,
}

impl Row {
    /// Whether some search saw nothing.
    pub fn has_survived(&self) -> bool {
        self.kills.values().all(|kills| kills.len() < self.searches)
    }

    /// Detectors that saw it, the soonest first, each with the median of cases.
    fn soonest(&self) -> Vec<(&'static str, u64)> {
        let mut all: Vec<_> =
            self.kills.iter().map(|(name, kills)| (*name, median(kills, |kill| kill.cases))).collect();
        all.sort_by_key(|(name, cases)| (*cases, *name));
        all
    }

    /// The shortest that each detector shows.
    pub fn shortest(&self) -> Vec<&Kill> {
        self.kills.values().filter_map(|kills| kills.iter().min_by_key(|kill| kill.steps.len())).collect()
    }

    /// It in one line.
    pub fn line(&self) -> String {
        let Some(soonest) = self.soonest().first().map(|(name, _)| *name) else {
            return format!("SURVIVED {}", self.bug);
        };
        let others = self.kills.len() - 1;
        let cell = cell(&self.kills[soonest]);
        format!(
            "{}: {soonest} ({cell}){}",
            self.bug,
            if others > 0 { format!(" and {others} more") } else { String::new() }
        )
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.detector)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "      {step}"))?;
        self.findings.iter().take(3).try_for_each(|finding| writeln!(f, "      -> {finding}"))
    }
}

fn median<T: Ord + Copy>(kills: &[Kill], of: impl Fn(&Kill) -> T) -> T {
    let mut all: Vec<T> = kills.iter().map(of).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

fn cell(kills: &[Kill]) -> String {
    let taken: Duration = median(kills, |kill| kill.taken);
    let (cases, steps) = (median(kills, |kill| kill.cases), median(kills, |kill| kill.steps.len()));
    format!("{cases} cases, {:.1} s, {steps} steps", taken.as_secs_f64())
}

/// Looks for each of `entries` as often as `searches` says, by as many threads as there are processors; each row is told when it is
/// there, in the order of the list.
pub fn hunted(
    entries: &[&Entry],
    memory: &Path,
    effort: Effort,
    searches: u64,
    told: &(dyn Fn(&Row) + Sync),
) -> anyhow::Result<Vec<Row>> {
    let next = AtomicUsize::new(0);
    let rows: Mutex<BTreeMap<usize, Row>> = Mutex::default();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || -> anyhow::Result<()> {
        prepare_thread().context("cannot prepare a thread")?;
        let host = Host::probe(true).on(memory).context("cannot try what the file system does")?;
        let place = tempfile::tempdir_in(memory).context("cannot make a directory for layers")?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(entry) = entries.get(number) else { return Ok(()) };
            let mut kills: BTreeMap<&'static str, Vec<Kill>> = BTreeMap::new();
            for search in 0..searches {
                let effort = Effort { first_seed: effort.first_seed + search * SEEDS_APART, ..effort };
                for kill in hunt::hunt(&entry.name, entry.bug, &host, place.path(), effort) {
                    kills.entry(kill.detector).or_default().push(kill);
                }
            }
            let row = Row { bug: entry.name.clone(), origin: entry.origin.clone(), searches: searches as usize, kills };
            told(&row);
            rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(number, row);
        }
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|thread| match thread.join() {
            Ok(worked) => worked,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    Ok(rows.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_values().collect())
}

/// How many there were, and how many were seen.
pub fn summary(rows: &[Row]) -> String {
    let survivors = rows.iter().filter(|row| row.has_survived()).count();
    format!("{} bugs, {} seen by each search, {survivors} survived", rows.len(), rows.len() - survivors)
}

/// All of it as a page: survivors first, then each bug with its detectors, then the detectors that saw nothing.
pub fn page(rows: &[Row]) -> String {
    let mut page = "# Which detector sees which bug\n\n<!-- Written by `cargo xtask bugs --write`. -->\n\n".to_owned();
    let searches = rows.first().map_or(0, |row| row.searches);
    let _ = writeln!(page, "{}; medians of {searches} searches.\n", summary(rows));
    for is_survivor in [true, false] {
        let some: Vec<&Row> = rows.iter().filter(|row| row.has_survived() == is_survivor).collect();
        if some.is_empty() {
            continue;
        }
        let _ = writeln!(page, "## {}\n", if is_survivor { "Survivors" } else { "Seen" });
        page.push_str("| bug | origin | detectors |\n|---|---|---|\n");
        for row in some {
            let cells: Vec<String> =
                row.soonest().iter().map(|(name, _)| format!("{name} ({})", cell(&row.kills[name]))).collect();
            let _ = writeln!(page, "| {} | {} | {} |", row.bug, row.origin, cells.join("<br>"));
        }
        page.push('\n');
    }
    let seen: BTreeSet<&str> = rows.iter().flat_map(|row| row.kills.keys().copied()).collect();
    page.push_str("## Detectors that saw nothing\n\n");
    hunt::detectors().iter().filter(|name| !seen.contains(*name)).for_each(|name| {
        let _ = writeln!(page, "- {name}");
    });
    page
}
