//! Pull, cold, of layers in zstd.

use anyhow::bail;

use super::pull::{commands, pulled};
use super::{Workload, none, once, without_image};
use crate::bed::Bed;
use crate::peers::{Missing, OURS, Peer};
use crate::task::{Task, cause, succeed};

pub const WORKLOAD: Workload = Workload {
    name: "pull-zstd",
    question: "What does it take to have the same image when its layers are in zstd?",
    fairness: "As pull; packed as zstd's own program does at its fastest. Who cannot read it (dockerd before 23, umoci before 0.5) is told as not run. It has no \
               floor: this program has no faster reader of zstd than ours.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 5,
    goals: &[],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    let Some(task) = pulled(bed, peer, bed.zstd())? else { return Ok(None) };
    // Whether it can, nobody says beforehand.
    without_image(bed, peer)?;
    for command in commands(peer, &bed.directory("oci")?, &bed.zstd()) {
        match succeed(command) {
            Err(error) if peer.name != OURS => bail!(Missing(cause(&error))),
            tried => drop(tried?),
        }
    }
    Ok(Some(task.then(|| without_image(bed, peer))))
}
