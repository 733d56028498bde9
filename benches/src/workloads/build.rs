//! A build whose steps have to be done.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Workload, has_layers, none, shows, with_image};
use crate::bed::Bed;
use crate::peers::Peer;
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "build",
    question: "What does it take to build an image of so many RUN steps, none of which is in the cache?",
    fairness: "dockerd builds with its classic builder, which we are one of too. Each step writes a line.",
    unit: "steps",
    amounts: |scale| scale.pick(vec![3], vec![2]),
    growth: none,
    samples: 10,
    goals: &[("docker", 15.0)],
    task,
};

pub const REFERENCE: &str = "bench/built";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, steps: u64) -> anyhow::Result<Option<Task<'a>>> {
    if !peer.speaks_docker() {
        return Ok(None);
    }
    with_image(bed, peer)?;
    let context = context(bed, steps)?.display().to_string();
    Ok(Some(
        Task::command(move || command(peer, &["--no-cache"], &context))
            .check(move |_| has_layers(peer, REFERENCE, bed.image.layers.len() + steps as usize))
            .after(move || {
                let last = steps - 1;
                shows(peer, REFERENCE, &["cat", &format!("/step-{last}")], &last.to_string())?;
                peer.ask(&["rmi", "--force", REFERENCE]).map(drop)
            }),
    ))
}

/// A directory with a Dockerfile of so many steps.
pub fn context(bed: &Bed, steps: u64) -> anyhow::Result<PathBuf> {
    let context = bed.emptied("context")?;
    let runs: String = (0..steps).map(|step| format!("RUN echo {step} > /step-{step}\n")).collect();
    fs::write(context.join("Dockerfile"), format!("FROM {}\n{runs}", bed.reference()))?;
    Ok(context)
}

/// The build of `context`.
pub fn command(peer: &Peer, flags: &[&str], context: &str) -> Command {
    let words = [&["build", "--quiet", "--network", "none", "--tag", REFERENCE], flags, &[context]].concat();
    let mut command = peer.command(&words);
    command.env("DOCKER_BUILDKIT", "0");
    command
}
