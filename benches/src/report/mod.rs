//! What was measured, for people: Markdown tables, and one page with plots.
//!
//! *Holds*: every figure comes of the results that are given; a ratio is that of two medians of one run.

mod html;
mod markdown;

pub use html::page;
pub use markdown::{summary, tables};

use serde::Serialize;

use crate::counts::Counts;
use crate::peers::{FLOOR, KINDS, OURS};
use crate::results::{Figure, Results, Space};
use crate::workloads::{self, Workload};

/// The peers of which there is a figure, in the order of their list.
fn peers(results: &Results) -> Vec<&'static str> {
    let has = |name: &str| results.figures.iter().any(|figure| figure.peer == name);
    KINDS.iter().map(|kind| kind.name).filter(|name| has(name)).collect()
}

/// The workloads of which there is a figure, in the order of their list, each with the amounts that everybody did.
fn rows(results: &Results) -> Vec<(&'static Workload, u64)> {
    let mut rows = Vec::new();
    for workload in &workloads::ALL {
        let mut amounts: Vec<u64> = figures_of(results, workload).map(|figure| figure.amount).collect();
        amounts.sort_unstable();
        amounts.dedup();
        let is_for_all = |amount: &u64| {
            figures_of(results, workload)
                .any(|figure| figure.amount == *amount && ![OURS, FLOOR].contains(&figure.peer.as_str()))
        };
        let for_all: Vec<u64> = amounts.iter().copied().filter(is_for_all).collect();
        // Where nobody else was measured, what we did is told all the same.
        rows.extend(if for_all.is_empty() { amounts } else { for_all }.into_iter().map(|amount| (workload, amount)));
    }
    rows
}

fn figures_of<'r>(results: &'r Results, workload: &Workload) -> impl Iterator<Item = &'r Figure> {
    let name = workload.name;
    results.figures.iter().filter(move |figure| figure.workload == name)
}

/// `pull`, or `diff (5000 files made)` where there is more than one amount.
fn title(workload: &Workload, amount: u64) -> String {
    match (workload.amounts)(crate::bed::Scale::Full).as_slice() {
        [1] => workload.name.to_owned(),
        _ => format!("{}, {amount} {}", workload.name, workload.unit),
    }
}

/// How many times as long as we `peer` takes.
fn times_ours(results: &Results, workload: &Workload, amount: u64, peer: &str) -> Option<f64> {
    let ours = results.figure(workload.name, amount, OURS)?.median();
    Some(results.figure(workload.name, amount, peer)?.median() / ours)
}

/// A time with as many digits as tell something.
fn time(seconds: f64) -> String {
    match seconds * 1e3 {
        ms if ms >= 1000.0 => format!("{seconds:.2} s"),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
}

/// What only one in a hundred exceeds; nothing where there are too few to tell.
fn p99(figure: &Figure) -> String {
    const SAMPLES_MIN: usize = 30;
    if figure.seconds.len() >= SAMPLES_MIN { time(figure.quantile(0.99)) } else { String::new() }
}

/// A ratio with as many digits as tell something.
fn ratio(times: f64) -> String {
    match times {
        times if times >= 10.0 => format!("{times:.0} ×"),
        times if times >= 0.95 => format!("{times:.1} ×"),
        times if times >= 0.095 => format!("{times:.2} ×"),
        times => format!("{times:.4} ×"),
    }
}

/// A number of bytes.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 || size >= 100.0 { format!("{size:.0} {}", UNITS[unit]) } else { format!("{size:.1} {}", UNITS[unit]) }
}

/// What became of a goal.
struct Goal {
    peer: &'static str,
    wanted: f64,
    reached: f64,
}

fn goals(results: &Results, workload: &Workload, amount: u64) -> Vec<Goal> {
    let reached = |(peer, wanted): &(&'static str, f64)| {
        Some(Goal { peer, wanted: *wanted, reached: times_ours(results, workload, amount, peer)? })
    };
    workload.goals.iter().filter_map(reached).collect()
}

/// What the file system had less of afterwards, for people: `256 MiB, 2 inodes`.
fn space(space: Space) -> String {
    let size = bytes(space.bytes.unsigned_abs());
    format!("{}{size}, {} inodes", if space.bytes < 0 { "-" } else { "" }, space.inodes)
}

/// What was counted, for people; nothing where nothing was.
#[derive(Serialize)]
struct Counted {
    read: String,
    written: String,
    syscalls: String,
    syncs: String,
    memory: String,
}

fn counted(counts: Counts) -> Counted {
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    Counted {
        read: bytes(counts.read_bytes),
        written: bytes(counts.written_bytes),
        syscalls: number(counts.syscalls),
        syncs: number(counts.syncs),
        memory: bytes(counts.peak_bytes),
    }
}
