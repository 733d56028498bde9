//! The kill matrix: which detector sees which bug, after how many cases, and in how few steps it is shown.
//!
//! *Why*: a detector that is made weaker breaks no test; the bugs that it saw the day before tell. *Holds*: the page has a line for each bug, and
//! what is to be compared with a later run is read from that line. *Proved by*: `tests/matrix.rs`, and `cargo xtask ci`, which compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, bail};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::machine::Host;
use layerlab_properties::tree;

use crate::asked;
use crate::catalogue::Entry;
use crate::hunt::{self, Effort, Kill, Until};

/// How many seeds lie between two searches.
const SEEDS_APART: u64 = 1_000_000;
/// What a counterexample may have of steps: half of them, and all.
const STEPS_BOUNDS: [usize; 2] = [4, 8];
/// So many times the cases that a detector took in the matrix it has when compared with it: by chance alone it needs as many once in a million
/// times.
const TIMES: u64 = 20;
/// And so many at least.
const CASES_MIN: u64 = 100;
/// Who is asked once has so many turns when compared.
const TIMES_ASKED: usize = 4;
/// So many cases a law has at most to see a bug that is seen when asked once: it may be none that steps show.
const CASES_BESIDE: u64 = 200;

/// What became of one bug.
pub struct Row {
    /// The bug's name.
    pub bug: String,
    /// Where it happened.
    pub origin: String,
    /// Who saw it in each search, in the order in which they did.
    pub searches: Vec<Vec<Kill>>,
    /// Who of those that are asked once saw it.
    pub asked: Vec<Kill>,
    /// The pages that fail with it; nothing if they were not replayed.
    pub pages: Option<Vec<String>>,
}

impl Row {
    /// Whether no law saw it in some search, and nobody who was asked did. That no case goes on is no proof that anybody looks.
    pub fn has_survived(&self) -> bool {
        self.asked.is_empty() && !self.searches.iter().all(|kills| hunt::is_seen(kills))
    }

    /// Detectors that saw it, with what it took them: those of every search first, and of these the soonest.
    fn soonest(&self) -> Vec<(&'static str, Vec<&Kill>)> {
        let mut all: BTreeMap<&'static str, Vec<&Kill>> = BTreeMap::new();
        self.searches.iter().flatten().for_each(|kill| all.entry(kill.detector).or_default().push(kill));
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(name, kills)| {
            let missing = self.searches.len() - kills.len();
            (*name == hunt::NO_LAW, missing, median(kills, |kill| kill.cases), *name)
        });
        all
    }

    /// The shortest that each detector shows.
    pub fn shortest(&self) -> Vec<&Kill> {
        let all = self.soonest().into_iter();
        let shortest = all.filter_map(|(_, kills)| kills.into_iter().min_by_key(|kill| kill.steps.len()));
        shortest.chain(&self.asked).collect()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (laws, asked) = (self.soonest(), self.asked.iter().map(|kill| kill.detector));
        let cells = laws.iter().map(|kills| cell(kills, self.searches.len()));
        let mut all = cells.chain(asked.map(str::to_owned));
        let Some(first) = all.next() else { return write!(f, "SURVIVED {}", self.bug) };
        write!(f, "{}: {first}", self.bug)?;
        match all.count() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}", self.detector)?;
        self.steps.iter().try_for_each(|step| writeln!(f, "      {step}"))?;
        self.findings.iter().take(3).try_for_each(|finding| writeln!(f, "      -> {finding}"))
    }
}

fn median<T: Ord + Copy>(kills: &[&Kill], of: impl Fn(&Kill) -> T) -> T {
    let mut all: Vec<T> = kills.iter().map(|kill| of(kill)).collect();
    all.sort_unstable();
    all[all.len() / 2]
}

/// `NAME 3 cases, 1 s, 2 steps`; how often, if not each time.
fn cell((name, kills): &(&'static str, Vec<&Kill>), searches: usize) -> String {
    let (cases, steps) = (median(kills, |kill| kill.cases), median(kills, |kill| kill.steps.len()));
    // What a machine does meanwhile is none of the matrix's affair.
    let seconds = median(kills, |kill| kill.taken).as_secs() + 1;
    let often = if kills.len() < searches { format!(" ({} of {searches})", kills.len()) } else { String::new() };
    format!("{name} {cases} cases, {seconds} s, {steps} steps{often}")
}

/// What a line of the page says of a bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The bug's name.
    pub bug: String,
    /// Whether it was seen.
    pub is_seen: bool,
    /// The law that sees it first, where one does.
    pub first: Option<First>,
    /// Who of those that are asked once does.
    pub asked: Vec<String>,
    /// The pages that fail with it; nothing if they were never replayed.
    pub pages: Option<Vec<String>>,
    /// What the laws took, as it stands in the line.
    laws: String,
    origin: String,
}

/// The law that sees a bug first, by the median of searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// Its name.
    pub detector: String,
    /// After how many cases.
    pub cases: u64,
    /// In how many steps it is shown.
    pub steps: usize,
    /// Whether it saw it in each search.
    pub is_sure: bool,
}

/// What stands between detectors in a cell.
const BREAK: &str = "<br>";

/// What stands where no page was replayed.
const NOT_REPLAYED: &str = "-";

impl Line {
    /// That of a row.
    pub fn of(row: &Row) -> Line {
        let laws: Vec<String> = row.soonest().iter().map(|kills| cell(kills, row.searches.len())).collect();
        let laws = laws.join(BREAK);
        Line {
            bug: row.bug.clone(),
            is_seen: !row.has_survived(),
            first: First::read(&laws),
            asked: row.asked.iter().map(|kill| kill.detector.to_owned()).collect(),
            pages: row.pages.clone(),
            laws,
            origin: row.origin.clone(),
        }
    }

    fn read(text: &str) -> Option<Line> {
        let cells: Vec<&str> = text.strip_prefix("| ")?.strip_suffix(" |")?.splitn(6, " | ").collect();
        let [bug, verdict, laws, asked, pages, origin] = cells[..] else { return None };
        let is_seen = match verdict {
            "seen" => true,
            "SURVIVED" => false,
            _ => return None,
        };
        let names =
            |cell: &str| cell.split(BREAK).filter(|name| !name.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        Some(Line {
            bug: bug.to_owned(),
            is_seen,
            first: First::read(laws),
            asked: names(asked),
            pages: (pages != NOT_REPLAYED).then(|| names(pages)),
            laws: laws.to_owned(),
            origin: origin.to_owned(),
        })
    }

    /// Everybody who sees it.
    pub fn detectors(&self) -> impl Iterator<Item = &str> {
        let laws = self.laws.split(BREAK).filter_map(|cell| cell.split(' ').next()).filter(|name| !name.is_empty());
        laws.chain(self.asked.iter().map(String::as_str))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_seen { "seen" } else { "SURVIVED" };
        let pages = self.pages.as_ref().map_or_else(|| NOT_REPLAYED.to_owned(), |pages| pages.join(BREAK));
        let asked = self.asked.join(BREAK);
        write!(f, "| {} | {verdict} | {} | {asked} | {pages} | {} |", self.bug, self.laws, self.origin)
    }
}

/// Words of a cell that says nothing of some searches only.
const FIRST_WORDS: usize = 7;

impl First {
    /// The first of what [`cell`] wrote.
    fn read(laws: &str) -> Option<First> {
        let words: Vec<&str> = laws.split(BREAK).next()?.split(' ').collect();
        let [detector, cases, _, _, _, steps, ..] = words[..] else { return None };
        let is_sure = words.len() == FIRST_WORDS;
        Some(First { detector: detector.to_owned(), cases: cases.parse().ok()?, steps: steps.parse().ok()?, is_sure })
    }
}

/// The lines of a page.
pub fn lines(page: &str) -> Vec<Line> {
    page.lines().filter_map(Line::read).collect()
}

/// How many searches a page was made with.
pub fn searches(page: &str) -> Option<u64> {
    page.lines().find_map(|line| line.strip_prefix(MADE)?.split(' ').next()?.parse().ok())
}

/// How the sentence begins that says how many.
const MADE: &str = "Written by `cargo xtask bugs --write`: ";

/// All of it as a page: survivors first, then each bug with its detectors, then the detectors that saw nothing. It was made by so many searches for
/// each, of at most so many cases.
pub fn page(mut lines: Vec<Line>, searches: u64, cases_max: u64) -> String {
    lines.sort_by(|one, other| (one.is_seen, &one.bug).cmp(&(other.is_seen, &other.bug)));
    let mut page = format!(
        "# Which detector sees which bug\n\n\
         {MADE}{searches} searches for each, of at most {cases_max} cases. A law has after its name how many cases of random steps it took to see the bug, how\n\
         many seconds, and how many steps are left that show it: medians of the searches in which it did, and in how many of them, if not\n\
         in all. The first search goes on for some cases when somebody has seen the bug, the others end; who is slow may be missing. Promises\n\
         of the drivers' contract and situations are asked once; where one of them sees a bug, laws have {CASES_BESIDE} cases at most. Pages are replayed on an engine with the bug, where it is one of a driver.\n\
         Survivors come first.\n\n{}\n\n\
         | bug | | laws | asked once | pages | origin |\n|---|---|---|---|---|---|\n",
        summary(&lines)
    );
    lines.iter().for_each(|line| page += &format!("{line}\n"));
    let seen: BTreeSet<&str> = lines.iter().flat_map(Line::detectors).collect();
    page.push_str("\n## Detectors that see none of them\n\n");
    detectors().iter().filter(|name| !seen.contains(*name)).for_each(|name| {
        let _ = writeln!(page, "- {name}");
    });
    page
}

/// Every detector, by name.
pub fn detectors() -> Vec<&'static str> {
    hunt::detectors().into_iter().chain(asked::detectors()).collect()
}

/// How many steps show the bugs that a law sees: half of them at most so many, and all.
fn steps(lines: &[Line]) -> Option<[usize; 2]> {
    let mut steps: Vec<usize> = lines.iter().filter_map(|line| line.first.as_ref()).map(|first| first.steps).collect();
    steps.sort_unstable();
    Some([*steps.get(steps.len() / 2)?, *steps.last()?])
}

/// Whether what shows the bugs is short.
pub fn is_short(lines: &[Line]) -> bool {
    steps(lines).is_none_or(|[half, most]| half <= STEPS_BOUNDS[0] && most <= STEPS_BOUNDS[1])
}

/// How many there are, how many were seen, and how short what shows them is.
pub fn summary(lines: &[Line]) -> String {
    let survivors = lines.iter().filter(|line| !line.is_seen).count();
    let Some([half, most]) = steps(lines) else { return format!("{} bugs, {survivors} survived.", lines.len()) };
    let said =
        |is: usize, bound: usize| format!("{is} ({bound} allowed{})", if is > bound { ": TOO MANY" } else { "" });
    format!(
        "{} bugs, {survivors} survived. Steps that show one: median {}, most {}.",
        lines.len(),
        said(half, STEPS_BOUNDS[0]),
        said(most, STEPS_BOUNDS[1])
    )
}

/// What these see is a matter of which thread comes first: who else sees a bug is enough.
const BY_LUCK: [&str; 1] = ["a-crowd-leaves-a-sound-tree"];

fn is_by_luck(detector: &str) -> bool {
    BY_LUCK.contains(&detector)
}

/// How a bug is looked for to compare with what is told of it: until the law sees it once more that did first, or any law where that is another in other searches.
fn as_told(told: Option<&Line>, effort: Effort) -> Effort {
    let until = |first: &First| {
        let detector = hunt::detectors().into_iter().find(|detector| *detector == first.detector)?;
        let cases_max = (TIMES * first.cases).max(CASES_MIN);
        Some(Effort { until: Until::This(detector), cases_max, ..effort })
    };
    let first = told.and_then(|line| line.first.as_ref());
    first.filter(|first| first.is_sure).and_then(until).unwrap_or(Effort { until: Until::Anybody, ..effort })
}

/// What `rows` have not that a page told, in words.
pub fn vanished(lines: &[Line], rows: &[Row]) -> Vec<String> {
    let wrong = rows.iter().filter_map(|row| {
        let Some(told) = lines.iter().find(|line| line.bug == row.bug) else {
            return Some(format!("{0} is not in the matrix: cargo xtask bugs {0} --seeds 10 --write", row.bug));
        };
        let kills = row.searches.iter().flatten().chain(&row.asked);
        let who: BTreeSet<&str> = kills.map(|kill| kill.detector).collect();
        let was_seen = told.is_seen;
        let sure = told.first.iter().filter(|first| first.is_sure);
        let told = sure.map(|first| &first.detector).chain(&told.asked);
        let blind = told.filter(|detector| !is_by_luck(detector) && !who.contains(detector.as_str()));
        let blind: Vec<&String> = blind.collect();
        match blind[..] {
            // That no case goes on is nobody's seeing.
            _ if who.is_empty() || was_seen && row.has_survived() => Some(format!("{} has survived", row.bug)),
            [] => None,
            _ => Some(format!("{} is not seen by {blind:?} any more, but by {who:?}", row.bug)),
        }
    });
    wrong.collect()
}

/// How all bugs are looked for.
pub struct Hunt<'a> {
    /// Where the layers lie.
    pub memory: &'a Path,
    /// How long.
    pub effort: Effort,
    /// How often.
    pub searches: u64,
    /// What a page told, if that is to be compared: then the detectors it names are waited for, and no others.
    pub told: Option<&'a [Line]>,
    /// How many at once; most of the time a case waits for the kernel to mount and unmount.
    pub threads: usize,
}

impl Hunt<'_> {
    /// Looks for each of `entries`; `tell` is called with each row when it is there.
    pub fn run(&self, entries: &[&Entry], tell: &(dyn Fn(&Row) + Sync)) -> anyhow::Result<Vec<Row>> {
        tree::see_everything()?;
        let next = AtomicUsize::new(0);
        let rows: Mutex<BTreeMap<usize, Row>> = Mutex::default();
        let work = || -> anyhow::Result<()> {
            prepare_thread().context("cannot prepare a thread")?;
            let host = Host::probe(true).on(self.memory).context("cannot try what the file system does")?;
            let place = tempfile::tempdir_in(self.memory).context("cannot make a directory for layers")?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(entry) = entries.get(number) else { return Ok(()) };
                if let Some(why) = hunt::refusal(entry.bug, &host, place.path()) {
                    bail!("cannot look for {} here: {why}", entry.name);
                }
                let row = self.row(entry, &host, place.path());
                let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
                tell(&row);
                rows.insert(number, row);
            }
        };
        thread::scope(|scope| {
            let all: Vec<_> = (0..self.threads).map(|_| scope.spawn(work)).collect();
            all.into_iter().try_for_each(|thread| match thread.join() {
                Ok(worked) => worked,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })?;
        Ok(rows.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect())
    }

    fn row(&self, entry: &Entry, host: &Host, place: &Path) -> Row {
        let told = self.told.and_then(|lines| lines.iter().find(|line| line.bug == entry.name));
        let is_wanted = |detector: &str| match told {
            Some(line) => line.asked.iter().any(|name| name == detector),
            None => matches!(self.effort.until, Until::Everybody(_)),
        };
        let mut asked = asked::ask(&entry.name, entry.bug, host, place, &is_wanted);
        // What depends on a race is asked once more.
        for _ in 1..if told.is_some() { TIMES_ASKED } else { 1 } {
            let is_missing = |name: &str| is_wanted(name) && asked.iter().all(|kill| kill.detector != name);
            let more = asked::ask(&entry.name, entry.bug, host, place, &is_missing);
            asked.extend(more);
        }
        let mut effort = if self.told.is_some() { as_told(told, self.effort) } else { self.effort };
        if told.is_none() && !asked.is_empty() {
            effort.cases_max = effort.cases_max.min(CASES_BESIDE);
        }
        let search = |number: u64| {
            // Who sees it beside the first is asked once: that takes many times as long.
            let until = match effort.until {
                Until::Everybody(_) if number > 0 => Until::Anybody,
                until => until,
            };
            let effort = Effort { first_seed: effort.first_seed + number * SEEDS_APART, until, ..effort };
            hunt::hunt(&entry.name, entry.bug, host, place, effort)
        };
        // Where laws see it now and then, it is who was asked that must see it again.
        let is_sure = |line: &Line| {
            line.first.as_ref().is_some_and(|first| first.is_sure || line.asked.iter().all(|name| is_by_luck(name)))
        };
        let is_seen_by_a_law = told.is_none_or(|line| is_sure(line) || !line.is_seen);
        let searches = (0..self.searches).filter(|_| is_seen_by_a_law).map(search).collect();
        Row { bug: entry.name.clone(), origin: entry.origin.clone(), searches, asked, pages: None }
    }
}
