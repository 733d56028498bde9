//! A container's tree as a tar.

use anyhow::ensure;

use super::{Workload, created, forget, members, none, once};
use crate::bed::Bed;
use crate::peers::Peer;
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "export",
    question: "What does it take to write a container's tree into a file, as `docker export` does?",
    fairness: "The container never ran.",
    unit: "container",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[("docker", 4.0)],
    task,
};

const NAME: &str = "exported";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    if !peer.speaks_docker() {
        return Ok(None);
    }
    created(bed, peer, NAME)?;
    let file = bed.directory("archives")?.join(format!("{}.export", peer.name));
    let path = file.display().to_string();
    Ok(Some(
        Task::command(move || peer.command(&["export", "--output", &path, NAME]))
            .before(super::removed(&file))
            .check(move |_| {
                let found = members(&file, &bed.image.some_file)?;
                ensure!(found >= bed.image.entries, "{} exported {found} names of {}", peer.name, bed.image.entries);
                Ok(())
            })
            .after(|| {
                forget(peer, NAME);
                Ok(())
            }),
    ))
}
