//! A directory whose names lie in many layers is read.

use std::fs;

use super::look_through::{has_all, layers, looked};
use super::{Workload, none};
use crate::bed::Bed;
use crate::peers::Peer;
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "list-through",
    question: "What does it take to read a directory whose 256 names lie in so many layers?",
    fairness: "As look-through; the floor reads a plain directory with these names.",
    unit: "layers",
    amounts: layers,
    growth: none,
    samples: 5,
    goals: &[],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, layers: u64) -> anyhow::Result<Option<Task<'a>>> {
    looked(bed, peer, layers, |data| {
        let names = fs::read_dir(data)?.collect::<Result<Vec<_>, _>>()?;
        has_all(names.len())
    })
}
