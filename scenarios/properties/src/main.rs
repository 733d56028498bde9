//! The command `layerlab-laws`: holds a subject against the laws.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Parser;
use layerlab_engine::sys::namespace::is_user_namespace;
use layerlab_properties::again;
use layerlab_properties::alone::apart_with_daemons;
use layerlab_properties::backing::{Backing, BackingError, LOOP_TYPES};
use layerlab_properties::campaign::{Campaign, Counts, Failure};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::counterexample::{ByHand, Counterexample};
use layerlab_properties::deviations;
use layerlab_properties::enter::{in_namespaces, own_mounts};
use layerlab_properties::finding;
use layerlab_properties::kernel_log::KernelLog;
use layerlab_properties::known;
use layerlab_properties::laws::{self, Law};
use layerlab_properties::list;
use layerlab_properties::machine::Host;
use layerlab_properties::pace::{self, LATE, Pace};
use layerlab_properties::report::{Report, markdown};
use layerlab_properties::requirement::{self, Requirement};
use layerlab_properties::results::{self, Break, Outcomes, Run};
use layerlab_properties::shard::Shard;
use layerlab_properties::situations::{self, Arranged, Situation, arranged};
use layerlab_properties::status::{CANNOT, ENDED, FAILED, SKIPPED};
use layerlab_properties::stores;
use layerlab_properties::subjects::{self, Subject, program};
use layerlab_properties::table;
use layerlab_properties::tree;
use layerlab_properties::verdict;
use rustix::process::{Resource, Rlimit};

/// An act on a store of images takes as long as so many steps in a tree, and longer.
const STEPS_TO_AN_ACT: usize = 3;
/// In the table, so many cases of trees come to one of a store.
const CASES_TO_ONE_OF_A_STORE: u64 = 20;
/// So many steps meet everything that is drawn at all.
const STEPS_TO_MEET_ALL: u64 = 20_000;

/// Where time is shared, so long may be used at least to make short what broke a law.
const SHRINK_MIN: Duration = Duration::from_secs(5);

/// What the table asks of everybody once more, alone.
const ALONE: [&str; 2] = ["deep-stacks-show-every-layer", "cold-caches-show-the-same"];
/// So many cases meet every depth of the first.
const DEPTHS: u64 = 6;

#[derive(Parser, Clone)]
#[command(name = "layerlab-laws", about = "Holds anything that stacks layers against the laws of layered file systems")]
struct Cli {
    /// Which laws; all when none is given
    laws: Vec<String>,
    /// What is held against them: trees (overlay, layerlab-overlay2, …), stores of images (store-overlay2, …), or the path of a driver
    /// program, with a slash in it
    #[arg(long, value_delimiter = ',', default_value = "layerlab-overlay2")]
    subject: Vec<String>,
    /// What the layers lie on: tmpfs, ext4, xfs, btrfs (made in a file, by a loop device), or a directory
    #[arg(long, value_delimiter = ',', default_value = "tmpfs")]
    backing: Vec<Backing>,
    /// In a user namespace, as an ordinary user has it, even for root
    #[arg(long)]
    rootless: bool,
    /// What must not be skipped: subjects, backings, laws, root, user (a second user for some of the steps), kernel-log
    #[arg(long, value_name = "WORD,…", value_delimiter = ',')]
    require: Vec<Requirement>,
    /// How many cases
    #[arg(long, default_value_t = 500, conflicts_with = "minutes")]
    cases: u64,
    /// How long, instead of how many cases
    #[arg(long)]
    minutes: Option<f64>,
    /// How many steps a case has; of a store, a third
    #[arg(long, default_value_t = 40)]
    steps: usize,
    /// Where the random numbers begin; a fresh one when none is given
    #[arg(long)]
    seed: Option<u64>,
    /// A part of the cases, `2/3` for the second of three; all parts from one seed are the whole
    #[arg(long, value_name = "I/N", requires = "seed")]
    shard: Option<Shard>,
    /// How many at once; most of the time a case waits for the kernel to mount and unmount
    #[arg(long, default_value_t = threads(), value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: u64,
    /// How many seconds a driver program may take for an answer
    #[arg(long, value_name = "SECONDS", default_value_t = program::LIMIT.as_secs(), value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Only say which laws, subjects and backings there are, and what of them this machine can have
    #[arg(long)]
    list: bool,
    /// Hold everything against every law on every backing (from seed 1, unless another is given), and write what came of it to this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["laws", "subject", "backing", "shard", "rootless"])]
    table: Option<PathBuf>,
    /// Hold every subject there is, those of others too, against every law on every backing, each for its part of `--minutes`
    #[arg(long, requires = "minutes", conflicts_with_all = ["laws", "subject", "backing", "shard", "table"])]
    all: bool,
    /// Write what came of it, with findings beside, to this file
    #[arg(long, value_name = "FILE", requires = "all")]
    board: Option<PathBuf>,
    /// Add what came of each law to this file, a line of JSON each, for `layerlab-report`
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Show how often each kind of step came out how, what never came, and how often each law had something to judge
    #[arg(long)]
    counts: bool,
}

impl Cli {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.limit)
    }
}

/// Each layer of a stack is held open.
fn allow_many_files() -> Result<(), rustix::io::Errno> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
}

fn threads() -> u64 {
    4 * std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// Whether a driver program may be asked, which may begin daemons, and all that can be ended with them.
fn may_begin_daemons(cli: &Cli) -> bool {
    let is_asked = cli.list || cli.all || cli.subject.iter().any(|name| program::is_program(name));
    is_asked && rustix::process::geteuid().is_root() && !is_user_namespace()
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !may_begin_daemons(&cli) {
        return ExitCode::from(begun(cli));
    }
    match apart_with_daemons(cli.minutes.is_some(), || begun(cli)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("layerlab-laws: {error:#}");
            ExitCode::from(CANNOT)
        }
    }
}

/// Everything, from this process's first thread on.
fn begun(mut cli: Cli) -> u8 {
    if let Err(errno) = allow_many_files() {
        eprintln!("layerlab-laws: cannot open many files at once: {errno}");
    }
    if cli.table.is_some() || cli.all {
        let subjects = subjects::all().into_iter().map(|subject| subject.name());
        let foreigners = program::foreigners().filter(|_| cli.all).map(str::to_owned);
        cli.subject = subjects.chain(foreigners).chain(stores::all().iter().map(|kind| kind.name())).collect();
        cli.backing = [Backing::Tmpfs].into_iter().chain(LOOP_TYPES.map(Backing::Loop)).collect();
    }
    if cli.table.is_some() {
        cli.seed = cli.seed.or(Some(1));
    }
    // Who asks for a number of cases can ask for them again.
    if let Some(errno) = cli.minutes.and_then(|_| pace::listen().err()) {
        eprintln!("layerlab-laws: cannot be asked to end: {errno}");
    }
    // Who runs it again needs to know.
    cli.seed.get_or_insert_with(fresh_seed);
    let mut places = Vec::new();
    // Root of a user namespace mounts no block device.
    if cli.rootless && rustix::process::geteuid().is_root() {
        match own_mounts() {
            Ok(()) => cli.backing = cli.backing.into_iter().map(|backing| backing.made(&mut places)).collect(),
            Err(error) => eprintln!("layerlab-laws: {error:#}"),
        }
    }
    let entered = in_namespaces(cli.rootless, |map| {
        run(&cli, &Host::probe(map.allows_groups())).unwrap_or_else(|error| {
            eprintln!("layerlab-laws: {error:#}");
            CANNOT
        })
    });
    entered.unwrap_or_else(|error| {
        eprintln!("layerlab-laws: {error:#}");
        CANNOT
    })
}

/// Every subject on every backing that was asked for: fails if one does, is skipped if all are.
fn run(cli: &Cli, host: &Host) -> anyhow::Result<u8> {
    if cli.list {
        print!("{}", list::list(host)?);
        return Ok(0);
    }
    tree::see_everything()?;
    let laws = chosen(&cli.laws)?;
    let outcomes = RefCell::new(Outcomes::of(Run {
        kernel: host.kernel.clone(),
        rootless: !host.promises().first_namespace,
        seed: cli.seed.unwrap_or_default(),
        shard: cli.shard.map(|shard| shard.to_string()),
        amount: match cli.minutes {
            Some(minutes) => format!("--minutes {minutes} --steps {}", cli.steps),
            None => format!("--cases {} --steps {}", cli.cases, cli.steps),
        },
    }));
    if let Some(why) = requirement::wanting(&cli.require, host) {
        bail!(why);
    }
    let stores = stores::all();
    let mut log = KernelLog::from_now_on();
    if let Err(error) = &log {
        match requirement::forbidding(&cli.require, &[requirement::KERNEL_LOG]) {
            Some(word) => bail!("{word} is required, but /dev/kmsg cannot be read: {error}"),
            None => println!("skipped {}: /dev/kmsg: {error}", requirement::KERNEL_LOG),
        }
    }
    let asked = asked(cli, host, &laws, &stores, &outcomes);
    let complaints = log.as_mut().map(KernelLog::complaints).unwrap_or_default();
    for complaint in &complaints {
        println!("the kernel complained meanwhile: {complaint}");
        outcomes.borrow_mut().failed(("the kernel", "all"), complaint);
    }
    if let Err(error) = &asked {
        outcomes.borrow_mut().failed(("the run", "all"), &format!("{error:#}"));
    }
    if let Some(path) = &cli.results {
        results::add(path, outcomes.borrow().lines())?;
    }
    if let Some(path) = &cli.board {
        let report = Report::of(outcomes.borrow().lines(), &finding::all()?, &[]);
        std::fs::write(path, markdown::of(&report)).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    let mut statuses = asked?;
    statuses.extend((!complaints.is_empty()).then_some(FAILED));
    let has = |status| statuses.contains(&status);
    if let Some(path) = &cli.table {
        if has(FAILED) {
            bail!("{} is not written: it is about what holds, and something failed", path.display());
        }
        table::write(outcomes.borrow().lines(), host, path)?;
    }
    Ok(if has(FAILED) {
        FAILED
    } else if pace::is_ended() {
        ENDED
    } else if has(0) {
        0
    } else {
        SKIPPED
    })
}

/// Holds every subject on every backing, one after the other; what came of each.
fn asked(
    cli: &Cli,
    host: &Host,
    laws: &[&'static dyn Law],
    stores: &[stores::Kind],
    outcomes: &RefCell<Outcomes>,
) -> anyhow::Result<Vec<u8>> {
    let names = || {
        let subjects = subjects::all().into_iter().map(|subject| subject.name());
        let subjects = subjects.chain(program::foreigners().map(str::to_owned));
        subjects.chain(stores.iter().map(|kind| kind.name())).collect::<Vec<_>>().join(", ")
    };
    let mut statuses = Vec::new();
    if cli.all {
        return Ok(all_asked(cli, host, laws, stores, outcomes));
    }
    for name in &cli.subject {
        if let Some(kind) = stores.iter().find(|kind| kind.name() == *name) {
            for backing in &cli.backing {
                statuses.push(store_held(cli, host, kind, backing, pace(cli), outcomes)?);
            }
            continue;
        }
        let subject = subjects::named(name, cli.limit())?.with_context(|| {
            format!("there is no subject {name}; there are {}, and any driver program by its path: ./{name}", names())
        })?;
        for backing in &cli.backing {
            let turn = Turn { backing, pace: pace(cli), shared: None };
            statuses.push(held(cli, host, laws, &*subject, &turn, outcomes)?);
        }
    }
    if cli.table.is_some() {
        // Deep stacks are drawn for that law alone, and the caches of the machine are emptied when nobody else is at work.
        let alone = Cli { laws: ALONE.map(str::to_owned).to_vec(), cases: DEPTHS, ..cli.clone() };
        let laws = chosen(&alone.laws)?;
        for subject in subjects::all() {
            for backing in &cli.backing {
                let turn = Turn { backing, pace: Pace::FREE, shared: None };
                statuses.push(held(&alone, host, &laws, &*subject, &turn, outcomes)?);
            }
        }
    }
    Ok(statuses)
}

/// What `--minutes` gives to each subject on each backing.
fn pace(cli: &Cli) -> Pace {
    cli.minutes.map_or(Pace::FREE, |minutes| Pace::of(Duration::from_secs_f64(60.0 * minutes)))
}

/// One subject's turn.
struct Turn<'a> {
    /// What it lies on.
    backing: &'a Backing,
    /// How long it may take; where it is not shared, what was kept, pages and situations are none of it.
    pace: Pace,
    /// Where time is shared: the number of the backing and how many there are. Situations begin with another part on each, since there may not be time for all.
    shared: Option<(usize, usize)>,
}

/// Everybody on everything, as far as it is to be had: each for the same part of what is left of the time. What cannot be asked is told, and the others go on.
fn all_asked(
    cli: &Cli,
    host: &Host,
    laws: &[&'static dyn Law],
    stores: &[stores::Kind],
    outcomes: &RefCell<Outcomes>,
) -> Vec<u8> {
    let whole = pace(cli);
    let count = cli.subject.len() * cli.backing.len();
    println!(
        "{count} turns from seed {}: {} subjects, {} backings",
        cli.seed.unwrap_or_default(),
        cli.subject.len(),
        cli.backing.len()
    );
    let mut statuses = Vec::new();
    // By backing: whoever ends it early has seen everybody on some.
    let turns = cli
        .backing
        .iter()
        .enumerate()
        .flat_map(|(number, backing)| cli.subject.iter().map(move |name| (number, backing, name)));
    for (done, (number, backing, name)) in turns.enumerate() {
        let place = (&**name, &*backing.to_string());
        if whole.is_over() {
            let why = if pace::is_ended() { "the run was ended before" } else { "the time was over" };
            println!("skipped {name} on {backing}: {why}");
            outcomes.borrow_mut().refused(place, why);
            continue;
        }
        let pace = whole.part(1, (count - done) as u32);
        let left = whole.left().unwrap_or_default().as_secs();
        let seconds = pace.left().unwrap_or_default().as_secs_f64();
        println!("[{}/{count}] {name} on {backing}: {seconds:.1} s of {left} s that are left", done + 1);
        let turn = Turn { backing, pace, shared: Some((number, cli.backing.len())) };
        let status = match stores.iter().find(|kind| kind.name() == *name) {
            Some(kind) => store_held(cli, host, kind, backing, pace, outcomes),
            None => match subjects::named(name, cli.limit()) {
                Ok(Some(subject)) => held(cli, host, laws, &*subject, &turn, outcomes),
                Ok(None) => Err(anyhow::anyhow!("there is no such subject")),
                Err(error) => Err(error.into()),
            },
        };
        statuses.push(status.unwrap_or_else(|error| {
            println!("{name} on {backing} cannot be held against the laws: {error:#}");
            outcomes.borrow_mut().failed(place, &format!("{error:#}"));
            FAILED
        }));
    }
    statuses
}

/// Why a law is not held against what it is not about.
const NO_LAW: &str = "none of the laws is about it";

/// What is not run, and why; an error where it was required.
fn skipped(cli: &Cli, name: &str, backing: &Backing, why: &str) -> anyhow::Result<u8> {
    match requirement::forbidding(&cli.require, &[name, &backing.to_string()]) {
        Some(word) => bail!("{word} is required, but {name} on {backing} would be skipped: {why}"),
        None => {
            println!("skipped {name} on {backing}: {why}");
            Ok(SKIPPED)
        }
    }
}

/// One kind of store on one backing.
fn store_held(
    cli: &Cli,
    host: &Host,
    kind: &stores::Kind,
    backing: &Backing,
    pace: Pace,
    outcomes: &RefCell<Outcomes>,
) -> anyhow::Result<u8> {
    let skipped = |why: &str| {
        outcomes.borrow_mut().refused((&kind.name(), &backing.to_string()), why);
        skipped(cli, &kind.name(), backing, why)
    };
    if stores::held::chosen(&cli.laws).is_empty() {
        return skipped(NO_LAW);
    }
    let place = match backing.make() {
        Err(BackingError::Unavailable { reason, .. }) => return skipped(&reason),
        place => place?,
    };
    if let Some(why) = kind.refusal_on(place.path()) {
        return skipped(&why);
    }
    let end = match (cli.minutes, &cli.table) {
        (Some(_), _) => u64::MAX,
        // A case of a store gives each law much to judge, and takes its time.
        (None, Some(_)) => cli.cases.div_ceil(CASES_TO_ONE_OF_A_STORE),
        (None, None) => cli.cases,
    };
    let cases = |thread| -> Box<dyn Iterator<Item = u64>> {
        let cases = cli.shard.unwrap_or(Shard::WHOLE).cases(thread, cli.threads);
        Box::new(cases.take_while(move |case| *case < end))
    };
    let order = stores::held::Order {
        laws: &cli.laws,
        place: place.path().to_owned(),
        backing: backing.to_string(),
        kernel: host.kernel.clone(),
        seed: cli.seed.unwrap_or_default(),
        threads: cli.threads,
        cases: &cases,
        pace,
        length: cli.steps.div_ceil(STEPS_TO_AN_ACT),
        counts: cli.counts,
        required: &cli.require,
    };
    let came = stores::held::held(kind, &order)?;
    let laws = stores::held::chosen(&cli.laws);
    let place = (&*kind.name(), &*backing.to_string());
    outcomes.borrow_mut().held(place, laws.iter().map(|law| law.name()), &came.counts, &came.broken);
    if !came.is_held && came.broken.is_empty() {
        outcomes.borrow_mut().failed(place, "what broke before is broken, or a case cannot go on");
    }
    Ok(if came.is_held { 0 } else { FAILED })
}

/// One subject on one backing.
fn held(
    cli: &Cli,
    host: &Host,
    laws: &[&'static dyn Law],
    subject: &dyn Subject,
    turn: &Turn<'_>,
    outcomes: &RefCell<Outcomes>,
) -> anyhow::Result<u8> {
    let Turn { backing, pace, shared } = *turn;
    let called = format!("{} on {backing}", subject.name());
    let skipped = |why: &str| {
        outcomes.borrow_mut().refused((&subject.name(), &backing.to_string()), why);
        skipped(cli, &subject.name(), backing, why)
    };
    let situations = match shared {
        None => situations::chosen(&cli.laws),
        Some(shared) => rotated(shared),
    };
    if laws.is_empty() && situations.is_empty() {
        return skipped(NO_LAW);
    }
    // Each is arranged once, by whoever has the first part.
    let situations = if cli.shard.is_none_or(Shard::is_first) { situations } else { Vec::new() };
    if laws.is_empty() && situations.is_empty() {
        return skipped("situations are the first part's");
    }
    if let Some(why) = subject.refusal(host) {
        return skipped(&why);
    }
    let place = match backing.make() {
        Err(BackingError::Unavailable { reason, .. }) => return skipped(&reason),
        place => place?,
    };
    if let Some(why) = subject.refusal_on(place.path()) {
        return skipped(&why);
    }
    let host = &host.on(place.path()).with_context(|| format!("cannot try what {backing} does"))?;
    let lies_in = place;
    let campaign = Campaign { subject, host, laws, place: lies_in.path().to_owned(), length: cli.steps };
    let mut is_broken_again = false;
    let names = || laws.iter().map(|law| law.name()).chain(situations.iter().map(|situation| situation.name()));
    let place = (&*subject.name(), &*backing.to_string());
    outcomes.borrow_mut().deviates(place, &deviations::of(&subject.promises(host)));
    let mut laws_broken: BTreeMap<String, Break> = BTreeMap::new();
    // Of a part of the time so much, each, that the rest has enough.
    let some = || if shared.is_some() { pace.part(1, 4) } else { Pace::FREE };
    let kept = again::kept(&campaign, backing, some())?;
    for (law, shown) in kept.into_iter().chain(again::pages(&campaign, backing, some())?) {
        match law {
            Some(law) => drop(laws_broken.insert(law, shown)),
            None => outcomes.borrow_mut().failed(place, &shown.why.unwrap_or_default()),
        }
        is_broken_again = true;
    }
    let seed = cli.seed.unwrap_or_default();
    let mut counts = Counts::default();
    let for_situations = if shared.is_some() { pace.part(1, 2) } else { Pace::FREE };
    let Arranged { broken, mut late } = arranged(&situations, &campaign, backing, for_situations, &mut counts)?;
    let begun = Instant::now();
    // What was arranged took none of the time of cases, where that is not shared.
    let pace = if shared.is_some() { pace } else { crate::pace(cli) };
    let (counted, failures) = drawn(cli, &campaign, seed, pace, shared.is_some())?;
    counts.merge(counted);
    laws_broken.extend(broken.iter().map(|(situation, shown)| ((*situation).to_owned(), shown.clone())));
    for failure in &failures {
        let shown = tell(failure, &campaign, backing)?;
        match failure.broken.law {
            Some(law) => drop(laws_broken.insert(law.to_owned(), shown)),
            None => {
                let why = format!("a case cannot go on: {}", failure.broken.findings.join("; "));
                outcomes.borrow_mut().failed(place, &why);
            }
        }
    }
    if cli.counts {
        counts.lines().for_each(|line| println!("{line}"));
    }
    // Of few steps nothing else is to be expected.
    if cli.counts || counts.total() >= STEPS_TO_MEET_ALL {
        counts.never().for_each(|line| println!("{called}: {line}"));
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{called}: {} steps ({} left out) from seed {seed}{} in {seconds:.1} s ({:.0} a second), {} judgements, {}",
        counts.total(),
        counts.left_out(),
        cli.shard.map_or_else(String::new, |shard| format!(", shard {shard},")),
        counts.total() as f64 / seconds,
        counts.judgements(),
        match (failures.is_empty() && broken.is_empty(), names().filter(|name| counts.judgements_of(name) > 0).count())
        {
            (false, _) => "a law broke".to_owned(),
            (true, asked) if asked == names().count() => "every law held".to_owned(),
            (true, asked) => format!("{asked} of {} laws held, the others had nothing to judge", names().count()),
        }
    );
    if pace.is_timed() && counts.total() == 0 {
        late.extend(laws.iter().map(|law| law.name()).filter(|law| !laws_broken.contains_key(*law)));
    }
    let in_time = names().filter(|name| !late.contains(name));
    outcomes.borrow_mut().held(place, in_time, &counts, &laws_broken);
    if !late.is_empty() {
        println!("skipped {} of {called}: {LATE}", late.join(", "));
        outcomes.borrow_mut().late(place, late.iter().copied(), LATE);
    }
    match failures.is_empty() && broken.is_empty() && !is_broken_again {
        true => idle(cli, &counts, names(), &subject.name(), backing),
        false => Ok(FAILED),
    }
}

/// All situations, another part of them first on each backing.
fn rotated((number, count): (usize, usize)) -> Vec<&'static Situation> {
    let mut all: Vec<&Situation> = situations::ALL.iter().collect();
    let first = all.len() * number / count;
    all.rotate_left(first);
    all
}

/// Fresh cases in several threads, each of which stops at what breaks a law. Where time is shared, what broke is taken out, and the others go on.
fn drawn(
    cli: &Cli,
    campaign: &Campaign<'_>,
    seed: u64,
    pace: Pace,
    is_shared: bool,
) -> anyhow::Result<(Counts, Vec<Failure>)> {
    let mut laws = campaign.laws.to_vec();
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    // Without a law nobody would watch.
    while !laws.is_empty() {
        let round = Campaign { laws: &laws, ..campaign.clone() };
        let told = Mutex::new(BTreeSet::new());
        let parts: Vec<_> = std::thread::scope(|scope| {
            let (round, told) = (&round, is_shared.then_some(&told));
            let threads: Vec<_> = (0..cli.threads)
                .map(|thread| scope.spawn(move || part_of(cli, round, seed, thread, pace, told)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("a thread panicked"))).collect()
        });
        let mut found = Vec::new();
        for part in parts {
            let (counted, failure) = part?;
            counts.merge(counted);
            found.extend(failure);
        }
        found.sort_by_key(|failure| failure.seed);
        let broken: Vec<Option<&str>> = found.iter().map(|failure| failure.broken.law).collect();
        laws.retain(|law| !broken.contains(&Some(law.name())));
        let goes_on = is_shared && !broken.is_empty() && !broken.contains(&None) && !pace.is_over();
        failures.extend(found);
        if !goes_on {
            break;
        }
    }
    Ok((counts, failures))
}

/// Says which laws had nothing to judge; all is skipped when none had.
fn idle<'a>(
    cli: &Cli,
    counts: &Counts,
    laws: impl Iterator<Item = &'a str>,
    subject: &str,
    backing: &Backing,
) -> anyhow::Result<u8> {
    for (why, idle) in counts.idle(laws, subject) {
        let names = idle.join(", ");
        if let Some(word) = requirement::forbidding(&cli.require, &idle) {
            bail!("{word} is required, but judges nothing of {subject} on {backing}: {why}");
        }
        println!("skipped {names} of {subject} on {backing}: {why}");
    }
    Ok(if counts.judgements() > 0 { 0 } else { SKIPPED })
}

/// Those of `wanted` that are about trees; all when none is wanted. The rest must be situations, or a store's.
fn chosen(wanted: &[String]) -> anyhow::Result<Vec<&'static dyn Law>> {
    let of_stores = || stores::laws::ALL.iter().map(|law| law.name());
    let arranged = || situations::ALL.iter().map(|situation| situation.name());
    let all = || laws::ALL.iter().map(|law| law.name()).chain(arranged()).chain(of_stores());
    if let Some(unknown) = wanted.iter().find(|name| all().all(|law| law != name.as_str())) {
        bail!("there is no law {unknown}; there are {}", all().collect::<Vec<_>>().join(", "));
    }
    let is_wanted = |law: &&'static dyn Law| wanted.is_empty() || wanted.iter().any(|name| name == law.name());
    Ok(laws::ALL.iter().copied().filter(is_wanted).collect())
}

fn fresh_seed() -> u64 {
    // Each state has keys of its own: the standard library's random numbers.
    let random = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
    random % 1_000_000_000_000
}

/// The cases of one thread; it stops at the first that breaks a law. Where `told` has the laws that others broke, it leaves those to them, and has no longer to make it short than
/// it had to find it.
fn part_of(
    cli: &Cli,
    campaign: &Campaign<'_>,
    seed: u64,
    thread: u64,
    pace: Pace,
    told: Option<&Mutex<BTreeSet<Option<&'static str>>>>,
) -> anyhow::Result<(Counts, Option<Failure>)> {
    prepare_thread().context("cannot have a root directory of its own")?;
    let mut counts = Counts::default();
    for case in cli.shard.unwrap_or(Shard::WHOLE).cases(thread, cli.threads) {
        if pace.is_over() || !pace.is_timed() && case >= cli.cases {
            break;
        }
        let Err(failure) = campaign.find(seed.wrapping_add(case), &mut counts) else { continue };
        // What it was at may have been cut off.
        if pace::is_ended() {
            break;
        }
        let is_others = told.is_some_and(|told| told.lock().is_ok_and(|mut told| !told.insert(failure.broken.law)));
        if is_others {
            break;
        }
        let shrunk = match told {
            Some(_) => campaign.shrunk_within(failure, Pace::of(pace.left().unwrap_or_default().max(SHRINK_MIN))),
            None => campaign.shrunk(failure),
        };
        return Ok((counts, Some(shrunk)));
    }
    Ok((counts, None))
}

/// Says everything about a failure, and keeps it; what there is to tell of it elsewhere.
fn tell(failure: &Failure, campaign: &Campaign<'_>, backing: &Backing) -> anyhow::Result<Break> {
    print!("{}", verdict::of(failure, campaign, backing)?);
    let Failure { seed, steps, broken, .. } = failure;
    let kept = Counterexample {
        law: broken.law.map(str::to_owned),
        subject: campaign.subject.name(),
        backing: backing.to_string(),
        rootless: !campaign.host.promises().first_namespace,
        kernel: campaign.host.kernel.clone(),
        seed: *seed,
        steps: steps.clone(),
        findings: broken.findings.clone(),
    };
    let paths = kept.keep(&ByHand::of(campaign.subject)).context("cannot keep the counterexample")?;
    println!("kept, and run first next time: {}", paths.json.display());
    println!("without this code: {}", paths.script.display());
    println!("as a page for scenarios/cases/regressions: {}\n", paths.page.display());
    let script = std::fs::read_to_string(&paths.script).context("cannot read the script of a counterexample")?;
    let known = known::matching(broken.law, &backing.to_string(), steps, &broken.findings).into_iter();
    let known = known.map(|deviation| format!("known: {} ({})", deviation.what, deviation.source));
    let why = broken.findings.iter().cloned().chain(known).collect::<Vec<_>>().join("; ");
    Ok(Break { why: Some(why), script: Some(script) })
}
