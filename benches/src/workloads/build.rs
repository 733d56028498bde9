//! A build whose steps have to be done.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::ensure;

use super::commit::packed;
use super::{Workload, has_layers, none, shows, with_image};
use crate::bed::Bed;
use crate::container::{self, Floor};
use crate::floor::durable;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "build",
    question: "What does it take to build an image of so many RUN steps, none of which is in the cache?",
    fairness: "dockerd builds with its classic builder, which we are one of too. Each step writes a line. The floor mounts the layers for each step, makes the namespaces, executes the \
               shell, unmounts and makes the digest of what the step wrote, and syncs the file system once.",
    unit: "steps",
    amounts: |scale| scale.pick(vec![3], vec![2]),
    growth: none,
    samples: 10,
    goals: &[("docker", 15.0)],
    task,
};

pub const REFERENCE: &str = "bench/built";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, steps: u64) -> anyhow::Result<Option<Task<'a>>> {
    match peer.speaks {
        Speaks::Docker => {}
        Speaks::Nothing => {
            let layers = container::layers(bed)?;
            let place = bed.directory("floor-build")?;
            let built = place.clone();
            return Ok(Some(
                Task::call(move || floor(&layers, &place, steps))
                    .before(|| bed.emptied("floor-build").map(drop))
                    .check(move |_| (0..steps).try_for_each(|step| wrote(&built, step))),
            ));
        }
        _ => return Ok(None),
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
    let runs: String = (0..steps).map(|step| format!("RUN {}\n", line(step))).collect();
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

/// What a step does.
fn line(step: u64) -> String {
    format!("echo {step} > /step-{step}")
}

/// Each step on what is below and on those before it, in a directory of its own.
fn floor(layers: &[PathBuf], place: &Path, steps: u64) -> anyhow::Result<()> {
    let mut layers = layers.to_vec();
    for step in 0..steps {
        let own = place.join(step.to_string());
        Floor::over(&layers, &own)?.run(&["/bin/sh", "-c", &line(step)])?;
        layers.push(own.join("upper"));
        packed(&own.join("upper"))?;
    }
    durable(place)
}

fn wrote(place: &Path, step: u64) -> anyhow::Result<()> {
    let text = fs::read_to_string(place.join(format!("{step}/upper/step-{step}")))?;
    ensure!(text.trim() == step.to_string(), "step {step} of the floor wrote {text:?}");
    Ok(())
}
