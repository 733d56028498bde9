//! The list of images.

use anyhow::ensure;

use super::{Workload, none, once, started, with_image};
use crate::bed::Bed;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "images",
    question: "What does it take to list the images?",
    fairness: "There are one or two. A client that speaks to a daemon starts in each figure. The floor starts a process, the image's `true`.",
    unit: "list",
    amounts: once,
    growth: none,
    samples: 30,
    goals: &[("docker", 8.0)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    match peer.speaks {
        Speaks::Docker => {}
        Speaks::Nothing => return started(bed).map(Some),
        _ => return Ok(None),
    }
    with_image(bed, peer)?;
    let id = bed.image.id.clone();
    Ok(Some(Task::command(|| peer.command(&["images", "--quiet", "--no-trunc"])).check(move |said| {
        ensure!(said.contains(&id), "{} lists {said}", peer.name);
        Ok(())
    })))
}
