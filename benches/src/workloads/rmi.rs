//! An image is removed.

use std::fs;

use anyhow::ensure;

use super::{Workload, alone, has_no_image, none, once, with_image};
use crate::bed::Bed;
use crate::container;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "rmi",
    question: "What does it take to remove an image with all of its layers?",
    fairness: "The floor removes the same trees, as `rm -r` does.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[("docker", 1.2)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    let reference = bed.reference();
    let before = || {
        with_image(bed, peer)?;
        alone(bed, peer)
    };
    Ok(Some(match peer.speaks {
        Speaks::Docker => {
            Task::command(move || peer.command(&["rmi", &reference])).before(before).check(|_| has_no_image(peer))
        }
        Speaks::Ctr => {
            Task::command(move || peer.command(&["images", "rm", "--sync", &reference])).before(before).check(|_| {
                let left = peer.ask(&["snapshots", "ls"])?.lines().skip(1).count();
                ensure!(left == 0, "containerd has {left} snapshots still");
                Ok(())
            })
        }
        Speaks::Nothing => {
            let place = bed.directory("floor-rmi")?.join("layers");
            let to = place.clone();
            Task::call(move || Ok(fs::remove_dir_all(&place)?)).before(move || container::unpack_layers(bed, &to))
        }
        _ => return Ok(None),
    }))
}
