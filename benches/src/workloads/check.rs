//! Whether a store is sound.

use std::fs;

use anyhow::ensure;

use super::{Workload, alone, none, once, with_image};
use crate::bed::Bed;
use crate::container;
use crate::peers::{OURS, Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "check",
    question: "What does it take to prove every byte of a store with the image?",
    fairness: "The others have no such command. The floor reads the layers' tars and makes their digests, with one thread.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    Ok(Some(match peer.speaks {
        // It ends with an error where anything is not sound.
        _ if peer.name == OURS => {
            with_image(bed, peer)?;
            alone(bed, peer)?;
            Task::command(|| peer.command(&["check"]))
        }
        Speaks::Nothing => {
            let tars = container::tars(bed)?;
            Task::call(move || {
                for layer in &bed.image.layers {
                    let found = crate::image::digest(&fs::read(tars.join(&layer.diff_id))?);
                    ensure!(found == layer.diff_id, "the layer is another one");
                }
                Ok(())
            })
        }
        _ => return Ok(None),
    }))
}
