//! A container is made, and not started.

use anyhow::ensure;

use super::{Workload, forget, none, started};
use crate::bed::Bed;
use crate::lower::{can, image, sizes};
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "create",
    question: "What does it take to make a container of an image with a file of so many KiB?",
    fairness: "A driver that shares no files (vfs) copies the image here, the programs in it (some 20 MiB) too; the others copy a file when it is first changed: first-write's. The floor starts a \
               process, the image's `true`. Space is what the file system has less of afterwards.",
    unit: "KiB",
    amounts: sizes,
    growth: none,
    samples: 7,
    goals: &[],
    task,
};

const NAME: &str = "made";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, kibibytes: u64) -> anyhow::Result<Option<Task<'a>>> {
    if peer.speaks == Speaks::Nothing {
        return started(bed).map(Some);
    }
    if !can(bed, peer) {
        return Ok(None);
    }
    let reference = image(bed, peer, kibibytes)?;
    let task =
        Task::command(move || peer.command(&["create", "--name", NAME, "--network", "none", &reference, "true"]));
    Ok(Some(
        task.before(|| {
            forget(peer, NAME);
            Ok(())
        })
        .check(|_| {
            let status = peer.ask(&["inspect", "--format", "{{.State.Status}}", NAME])?;
            ensure!(status.trim() == "created", "{} has a container that is {status}", peer.name);
            Ok(())
        })
        .after(|| {
            forget(peer, NAME);
            Ok(())
        })
        .weighed(),
    ))
}
