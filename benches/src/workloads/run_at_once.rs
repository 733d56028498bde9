//! Containers that are wanted at the same time.

use super::{Workload, with_image};
use crate::bed::Bed;
use crate::container;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "run-at-once",
    question: "What does it take to run `true` in several containers that are begun at the same time?",
    fairness: "All processes are begun before the first is waited for; the time is that until the last has ended.",
    unit: "containers at once",
    amounts: |scale| scale.pick(vec![8], vec![2]),
    growth: |scale| scale.pick(vec![1, 2, 4, 16], Vec::new()),
    samples: 10,
    goals: &[],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, containers: u64) -> anyhow::Result<Option<Task<'a>>> {
    let reference = bed.reference();
    with_image(bed, peer)?;
    container::has_files(bed, peer)?;
    Ok(match peer.speaks {
        Speaks::Docker | Speaks::Ctr => Some(Task::at_once(move || {
            (0..containers).map(|number| container::run(peer, &reference, number)).collect()
        })),
        _ => None,
    })
}
