//! A container's whole life: create, start, `true`, its end, and nothing left of it.

use super::{Workload, with_image};
use crate::bed::Bed;
use crate::container;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "run",
    question: "What does it take to run `true` in a container of its own, without a network, and to remove that container?",
    fairness: "crun and runc are given a tree that is there already; the others mount the image's layers. The floor mounts the same layers, makes the \
               namespaces, executes `true` and unmounts. A number of containers runs one after the other.",
    unit: "containers in a row",
    amounts: |scale| scale.pick(vec![1, 50], vec![1]),
    growth: |_| Vec::new(),
    samples: 30,
    goals: &[("docker", 30.0), ("podman", 15.0), ("crun", 2.0)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, containers: u64) -> anyhow::Result<Option<Task<'a>>> {
    let reference = bed.reference();
    with_image(bed, peer)?;
    container::has_files(bed, peer)?;
    Ok(Some(match peer.speaks {
        Speaks::Docker | Speaks::Ctr => {
            Task::commands(move || (0..containers).map(|number| container::run(peer, &reference, number)).collect())
        }
        Speaks::Runtime => {
            let bundle = container::bundle(bed, peer)?.display().to_string();
            Task::commands(move || {
                (0..containers)
                    .map(|number| peer.command(&["run", "--bundle", &bundle, &format!("run-{number}")]))
                    .collect()
            })
        }
        Speaks::Nothing => {
            let floor = container::Floor::make(bed)?;
            Task::call(move || (0..containers).try_for_each(|_| floor.run(&["/bin/true"])))
        }
        Speaks::Tools | Speaks::Driver => return Ok(None),
    }))
}
