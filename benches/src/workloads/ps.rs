//! The list of containers.

use anyhow::ensure;

use super::{Workload, created, forget, none, started};
use crate::bed::Bed;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "ps",
    question: "What does it take to list all containers?",
    fairness: "None of them runs. A client that speaks to a daemon starts in each figure. The floor starts a process, the image's `true`.",
    unit: "containers",
    amounts: |scale| scale.pick(vec![1, 20], vec![1]),
    growth: none,
    samples: 30,
    goals: &[("docker", 8.0)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, containers: u64) -> anyhow::Result<Option<Task<'a>>> {
    match peer.speaks {
        Speaks::Docker => {}
        Speaks::Nothing => return started(bed).map(Some),
        _ => return Ok(None),
    }
    let names: Vec<String> = (0..containers).map(|number| format!("listed-{number}")).collect();
    for name in &names {
        created(bed, peer, name)?;
    }
    let task =
        Task::command(|| peer.command(&["ps", "--all", "--filter", "name=listed-", "--quiet"])).check(move |said| {
            ensure!(said.lines().count() as u64 == containers, "{} lists {said}", peer.name);
            Ok(())
        });
    Ok(Some(task.after(move || {
        names.iter().for_each(|name| forget(peer, name));
        Ok(())
    })))
}
