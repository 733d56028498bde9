//! Looks for a bug with every law at once: which law sees it, after how many cases, and in how many steps it can be shown.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use layerlab_engine::driver;
use layerlab_properties::campaign::{self, Broken, Counts};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::enter::own_mounts;
use layerlab_properties::laws;
use layerlab_properties::machine::Host;
use layerlab_properties::received;
use layerlab_properties::stores::{self, case};
use layerlab_properties::subjects::{Subject, SubjectError};
use layerlab_properties::tree;

use crate::asked;
use crate::bug::{Bug, Home};
use crate::seeded::{self, Seeded};

/// Where the layers lie: most machines have memory there that an overlay can lie on.
pub const MEMORY: &str = "/dev/shm";
/// How many steps a case of a tree has.
const STEPS: usize = 40;
/// How many acts a case of a store has.
const ACTS: usize = 13;
/// One case of a store takes as long as so many of a tree, or of layers that are received, and has its turn so much more seldom.
const CASES_TO_ONE_OF_A_STORE: u64 = 8;
/// What is said to have seen a bug that lets no case go on.
pub const NO_LAW: &str = "a-case-goes-on";

/// That a detector saw a bug.
#[derive(Debug, Clone)]
pub struct Kill {
    /// Who saw it: a law's name, or [`NO_LAW`].
    pub detector: &'static str,
    /// How many cases that took: of trees and of layers that are received; one in eight of those is of a store, too.
    pub cases: u64,
    /// How long that took.
    pub taken: Duration,
    /// The steps that show it.
    pub steps: Vec<String>,
    /// What is not as it should be.
    pub findings: Vec<String>,
}

/// When a search ends, if not at its greatest number of cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When a law saw the bug: that no case goes on is no proof that anybody looks.
    Anybody,
    /// When this detector saw it.
    This(&'static str),
    /// When all did, or the others had so many cases more than the first.
    Everybody(u64),
}

/// How long it is looked.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Where the random numbers begin.
    pub first_seed: u64,
    /// How many cases of each kind at most.
    pub cases_max: u64,
    /// When it is enough.
    pub until: Until,
    /// Whether the steps that show it are made as few as can be.
    pub is_short: bool,
}

impl Default for Effort {
    /// Until somebody saw it, by as many cases as any bug may take.
    fn default() -> Effort {
        Effort { first_seed: 1, cases_max: 2000, until: Until::Anybody, is_short: true }
    }
}

/// Whether a law is among those who saw it.
pub fn is_seen(kills: &[Kill]) -> bool {
    kills.iter().any(|kill| kill.detector != NO_LAW)
}

impl Effort {
    fn is_enough(&self, number: u64, kills: &[Kill]) -> bool {
        match self.until {
            Until::Anybody => is_seen(kills),
            Until::This(detector) => kills.iter().any(|kill| kill.detector == detector),
            Until::Everybody(more) => kills.first().is_some_and(|first| number >= first.cases + more),
        }
    }
}

/// Every detector, by name.
pub fn detectors() -> Vec<&'static str> {
    let trees = laws::ALL.iter().map(|law| law.name());
    let stores = stores::laws::ALL.iter().map(|law| law.name());
    trees.chain(received::laws()).chain(stores).chain([NO_LAW]).collect()
}

/// Everybody who sees `bug`, in the order in which they do: [`hunt`], and those that are asked once unless somebody is enough, in a thread that has
/// mounts of its own. Only root may have those.
pub fn seen_by(name: &str, bug: &'static dyn Bug, effort: Effort) -> anyhow::Result<Vec<Kill>> {
    tree::see_everything()?;
    let search = || {
        own_mounts()?;
        prepare_thread().context("cannot prepare a thread")?;
        let host = Host::probe(true).on(Path::new(MEMORY)).context("cannot try what the file system does")?;
        let place = tempfile::tempdir_in(MEMORY).context("cannot make a directory for layers")?;
        if let Some(why) = refusal(bug, &host, place.path()) {
            bail!("cannot look for {name} here: {why}");
        }
        let mut kills = hunt(name, bug, &host, place.path(), effort);
        if matches!(effort.until, Until::Everybody(_)) {
            kills.extend(asked::ask(name, bug, &host, place.path(), &|_| true));
        }
        Ok(kills)
    };
    thread::scope(|scope| match scope.spawn(search).join() {
        Ok(kills) => kills,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Why what `bug` is seeded in is not to be had below the directory `place`.
pub fn refusal(bug: &'static dyn Bug, host: &Host, place: &Path) -> Option<String> {
    match bug.home() {
        Home::Driver(name) | Home::Store(name) => driver::refusal(name, place),
        Home::Mount(_) => {
            let subject = Seeded::of("", bug)?;
            subject.refusal(host).or_else(|| subject.refusal_on(place))
        }
    }
}

/// Everybody who sees `bug`, in the order in which they do, by cases below the directory `place`. The thread has been prepared
/// ([`layerlab_properties::case::prepare_thread`]) and has mounts of its own.
pub fn hunt(name: &str, bug: &'static dyn Bug, host: &Host, place: &Path, effort: Effort) -> Vec<Kill> {
    let subject = Seeded::of(name, bug);
    let driver = match bug.home() {
        Home::Driver(driver) | Home::Store(driver) => Some(driver),
        Home::Mount(_) => None,
    };
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    kinds.extend(subject.as_ref().map(|subject| trees(subject, host, place)));
    kinds.extend(driver.map(|driver| layers(bug, driver, place)));
    kinds.extend(driver.map(|driver| images(bug, driver, place)));
    if let Until::This(detector) = effort.until {
        kinds.retain(|kind| detector == NO_LAW || kind.watching.has(detector));
    }
    let mut kills = Vec::new();
    for number in 0..effort.cases_max {
        for kind in kinds.iter_mut().filter(|kind| number.is_multiple_of(kind.turns)) {
            kind.run(number, effort, &mut kills);
        }
        if effort.is_enough(number + 1, &kills) || kinds.iter().all(|kind| kind.watching.laws.is_empty()) {
            break;
        }
    }
    kills
}

/// Who watches the cases of a kind.
struct Watching {
    laws: Vec<&'static str>,
    /// Whether it is known that not every case can go on.
    breaks_off: bool,
}

impl Watching {
    fn has(&self, law: &'static str) -> bool {
        self.laws.contains(&law)
    }

    /// Whether nobody has seen this before.
    fn is_news(&self, broken: &Broken) -> bool {
        broken.law.is_some() || !self.breaks_off
    }
}

/// What a case broke, and the steps that show it.
type Found = (Broken, Vec<String>);

/// Runs the case of a seed, and makes it short if it is news, and asked for.
type Find<'a> = Box<dyn Fn(&Watching, u64, bool) -> Option<Found> + 'a>;

/// One kind of cases: of trees, of layers that are received, or of stores.
struct Kind<'a> {
    watching: Watching,
    /// It has one turn in so many.
    turns: u64,
    taken: Duration,
    find: Find<'a>,
}

impl<'a> Kind<'a> {
    fn of(laws: Vec<&'static str>, find: impl Fn(&Watching, u64, bool) -> Option<Found> + 'a) -> Kind<'a> {
        let watching = Watching { laws, breaks_off: false };
        Kind { watching, turns: 1, taken: Duration::ZERO, find: Box::new(find) }
    }

    /// Runs the kind's case of the turn `number` until nobody sees anything in it who has not before.
    fn run(&mut self, number: u64, effort: Effort, kills: &mut Vec<Kill>) {
        while !self.watching.laws.is_empty() && (effort.until != Until::Anybody || !is_seen(kills)) {
            let began = Instant::now();
            let found = (self.find)(&self.watching, effort.first_seed + number / self.turns, effort.is_short);
            self.taken += began.elapsed();
            let Some((broken, steps)) = found else { return };
            let is_news = self.watching.is_news(&broken);
            let detector = broken.law.unwrap_or(NO_LAW);
            if is_news {
                kills.push(Kill { detector, cases: number + 1, taken: self.taken, steps, findings: broken.findings });
            }
            if broken.law.is_none() {
                self.watching.breaks_off = true;
                return;
            }
            self.watching.laws.retain(|law| *law != detector);
        }
    }
}

fn trees<'a>(subject: &'a Seeded, host: &'a Host, place: &'a Path) -> Kind<'a> {
    let all = laws::ALL.iter().map(|law| law.name()).collect();
    Kind::of(all, move |watching, seed, is_short| {
        let laws: Vec<_> = laws::ALL.into_iter().filter(|law| watching.has(law.name())).collect();
        let campaign = campaign::Campaign { subject, host, laws: &laws, place: place.to_owned(), length: STEPS };
        let mut failure = campaign.find(seed, &mut Counts::default()).err()?;
        if is_short && watching.is_news(&failure.broken) {
            failure = campaign.shrunk(failure);
        }
        Some((failure.broken, failure.steps.iter().map(ToString::to_string).collect()))
    })
}

fn layers<'a>(bug: &'static dyn Bug, driver: &'static str, place: &'a Path) -> Kind<'a> {
    let open = move |place: &Path| {
        let right = driver::open(Some(driver), place).map_err(SubjectError::of("open a driver in", place))?;
        Ok(seeded::seeded(bug, right))
    };
    Kind::of(received::laws(), move |watching, seed, is_short| {
        let campaign = received::Campaign { open: &open, laws: &watching.laws, place: place.to_owned() };
        let mut failure = campaign.find(seed, &mut Counts::default()).err()?;
        if is_short && watching.is_news(&failure.broken) {
            failure = campaign.shrunk(failure);
        }
        Some((failure.broken, failure.parts.iter().map(|part| format!("{part:?}")).collect()))
    })
}

fn images<'a>(bug: &'static dyn Bug, driver: &'static str, place: &'a Path) -> Kind<'a> {
    let begin = move |place: &Path| seeded::shop(bug, driver, place);
    let all = stores::laws::ALL.iter().map(|law| law.name()).collect();
    let kind = Kind::of(all, move |watching, seed, is_short| {
        let laws: Vec<_> = stores::laws::ALL.into_iter().filter(|law| watching.has(law.name())).collect();
        let campaign = case::Campaign { begin: &begin, laws: &laws, place: place.to_owned(), length: ACTS };
        let mut failure = campaign.find(seed, &mut Counts::default()).err()?;
        if is_short && watching.is_news(&failure.broken) {
            failure = campaign.shrunk(failure);
        }
        Some((failure.broken, failure.acts.iter().map(|act| format!("{act:?}")).collect()))
    });
    Kind { turns: CASES_TO_ONE_OF_A_STORE, ..kind }
}
