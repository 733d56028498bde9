//! A run: every workload with every peer that can do it.
//!
//! *Holds*: peers take turns, one time each, and another begins each round, so that a slow minute of the machine is everybody's; what
//! was arranged has reached the disk before time is taken; bytes and calls are counted in runs of their own, since counting takes time;
//! who fails is told, and the others go on. Not by criterion, which does not take turns; it times what runs in this process (`benches/benches`).

use std::fs;
use std::time::{Duration, Instant};

use crate::bed::{Bed, Scale};
use crate::counts::{self, Counts};
use crate::peers::{FLOOR, KINDS, Missing, OURS, Peer};
use crate::results::{Figure, Machine, Results};
use crate::task::Task;
use crate::workloads::Workload;

/// What is run.
pub struct Choice<'a> {
    pub workloads: Vec<&'a Workload>,
    /// None: all.
    pub peers: Option<Vec<String>>,
    /// How often each is done; none: as often as the workload says.
    pub samples: Option<usize>,
}

/// Runs all that was chosen; `keep` is given what there is after each workload.
pub fn measure(
    bed: &Bed,
    choice: &Choice<'_>,
    keep: impl Fn(&Results) -> anyhow::Result<()>,
) -> anyhow::Result<Results> {
    let mut results = Results { machine: Machine::here(bed)?, ..Results::default() };
    let is_chosen = |name: &str| choice.peers.as_ref().is_none_or(|names| names.iter().any(|wanted| wanted == name));
    let mut peers = Vec::new();
    for kind in KINDS.iter().filter(|kind| is_chosen(kind.name)) {
        match kind.begin(bed) {
            Ok(peer) => {
                results.versions.insert(peer.name.to_owned(), peer.version.clone());
                peers.push(peer);
            }
            Err(error) => match error.downcast_ref::<Missing>() {
                Some(why) => {
                    eprintln!("skipped: {}: {why}", kind.name);
                    results.skipped.push(format!("{}: {why}", kind.name));
                }
                None => results.fail(format!("{error:#}")),
            },
        }
    }
    for workload in &choice.workloads {
        let for_all = (workload.amounts)(bed.scale).into_iter().map(|amount| (amount, true));
        let for_us = (workload.growth)(bed.scale).into_iter().map(|amount| (amount, false));
        for (amount, is_for_all) in for_all.chain(for_us) {
            let who = peers.iter().filter(|peer| is_for_all || [OURS, FLOOR].contains(&peer.name)).collect();
            let turns = Turns { bed, workload, amount, samples: choice.samples };
            turns.taken(who, &mut results);
        }
        keep(&results)?;
    }
    Ok(results)
}

/// When this time is over nobody is asked again,
const ENOUGH: Duration = Duration::from_secs(40);
/// but so often everybody is.
const SAMPLES_MIN: usize = 5;

/// So much of one workload, by several who take turns.
struct Turns<'a> {
    bed: &'a Bed,
    workload: &'a Workload,
    amount: u64,
    samples: Option<usize>,
}

struct Turn<'a> {
    peer: &'a Peer,
    task: Task<'a>,
    seconds: Vec<f64>,
    counts: Option<Counts>,
    failed: Option<anyhow::Error>,
}

impl<'a> Turns<'a> {
    fn taken(&self, peers: Vec<&'a Peer>, results: &mut Results) {
        let mut turns = Vec::new();
        for peer in peers {
            match (self.workload.task)(self.bed, peer, self.amount) {
                Ok(Some(task)) => turns.push(Turn { peer, task, seconds: Vec::new(), counts: None, failed: None }),
                Ok(None) => {}
                Err(error) => match error.downcast_ref::<Missing>() {
                    Some(why) => {
                        let what = format!("{} {} with {}: {why}", self.workload.name, self.amount, peer.name);
                        eprintln!("skipped: {what}");
                        results.skipped.push(what);
                    }
                    None => results.fail(self.told(peer, &error)),
                },
            }
        }
        let samples = self.samples.unwrap_or(self.bed.scale.pick(self.workload.samples, 1));
        // The first time is nobody's: caches are cold.
        let is_warm = self.bed.scale.pick(1, 0);
        let begun = Instant::now();
        for round in 0..samples + is_warm {
            if round >= SAMPLES_MIN + is_warm && begun.elapsed() > ENOUGH {
                break;
            }
            let count = turns.len().max(1);
            turns.rotate_left(round.min(1) % count);
            for turn in turns.iter_mut().filter(|turn| turn.failed.is_none()) {
                match turn.task.once(self.bed) {
                    Ok(time) if round >= is_warm => turn.seconds.push(time.as_secs_f64()),
                    Ok(_) => {}
                    Err(error) => turn.failed = Some(error),
                }
            }
        }
        for mut turn in turns {
            // Whether counting works is seen with one that has a daemon and one that has none.
            let is_counted = self.bed.scale == Scale::Full || [OURS, "docker"].contains(&turn.peer.name);
            if turn.failed.is_none() && is_counted && turn.task.can_be_counted() {
                match counted(self.bed, turn.peer, &mut turn.task) {
                    Ok(counts) => turn.counts = Some(counts),
                    Err(error) => turn.failed = Some(error),
                }
            }
            let space = turn.task.space();
            let ended = turn.task.end();
            if let Some(error) = turn.failed.or(ended.err()) {
                results.fail(self.told(turn.peer, &error));
                continue;
            }
            let (workload, peer) = (self.workload.name.to_owned(), turn.peer.name.to_owned());
            let figure =
                Figure { workload, amount: self.amount, peer, seconds: turn.seconds, counts: turn.counts, space };
            println!(
                "{:<14} {:>6} {:<14} {:>10.2} ms ± {:.2}",
                self.workload.name,
                self.amount,
                turn.peer.name,
                figure.median() * 1e3,
                figure.spread() * 1e3
            );
            results.figures.push(figure);
        }
    }

    fn told(&self, peer: &Peer, error: &anyhow::Error) -> String {
        format!("{} {} with {}: {error:#}", self.workload.name, self.amount, peer.name)
    }
}

/// What is done beside taking time, in two runs of its own.
fn counted(bed: &Bed, peer: &Peer, task: &mut Task<'_>) -> anyhow::Result<Counts> {
    let daemons = peer.daemons();
    let mut counts = Counts::default();
    task.once_with(bed, &mut |commands| {
        let (said, counted) = counts::bytes(commands, &daemons)?;
        counts = counted;
        Ok(said)
    })?;
    task.once_with(bed, &mut |commands| {
        let (said, counted) = counts::syscalls(commands, &daemons)?;
        (counts.syscalls, counts.syncs) = counted.unzip();
        Ok(said)
    })?;
    Ok(counts)
}

impl Machine {
    fn here(bed: &Bed) -> anyhow::Result<Machine> {
        let text = fs::read_to_string("/proc/cpuinfo")?;
        let processor = text
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name.to_owned()));
        let memory = fs::read_to_string("/proc/meminfo")?;
        let kibibytes = memory
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        Ok(Machine {
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism()?.get(),
            memory_bytes: kibibytes.unwrap_or_default() << 10,
            storage: bed.storage().to_owned(),
            scale: bed.scale.pick("full", "tiny").to_owned(),
        })
    }
}
