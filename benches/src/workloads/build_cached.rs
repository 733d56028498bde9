//! A build whose steps are all in the cache.

use super::build::{REFERENCE, command, context};
use super::{Workload, has_layers, none, shows, started, with_image};
use crate::bed::Bed;
use crate::peers::{Peer, Speaks};
use crate::task::{Task, succeed};

pub const WORKLOAD: Workload = Workload {
    name: "build-cached",
    question: "What does it take to build an image of so many RUN steps, all of which are in the cache?",
    fairness: "As build; but the floor starts a process, the image's `true`.",
    unit: "steps",
    amounts: |scale| scale.pick(vec![3], vec![2]),
    growth: none,
    samples: 20,
    goals: &[("docker", 10.0)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, steps: u64) -> anyhow::Result<Option<Task<'a>>> {
    match peer.speaks {
        Speaks::Docker => {}
        Speaks::Nothing => return started(bed).map(Some),
        _ => return Ok(None),
    }
    with_image(bed, peer)?;
    let context = context(bed, steps)?.display().to_string();
    // podman keeps and uses the steps of earlier builds with this only; the others need no word for it.
    let flags: &[&str] = if peer.name == "podman" { &["--layers"] } else { &[] };
    succeed(command(peer, flags, &context))?;
    Ok(Some(
        Task::command(move || command(peer, flags, &context))
            .check(move |_| has_layers(peer, REFERENCE, bed.image.layers.len() + steps as usize))
            .after(move || {
                let last = steps - 1;
                shows(peer, REFERENCE, &["cat", &format!("/step-{last}")], &last.to_string())?;
                peer.ask(&["rmi", "--force", REFERENCE]).map(drop)
            }),
    ))
}
