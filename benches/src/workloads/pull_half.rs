//! Pull of an image of which the lower half is here.

use super::{Workload, has_image, none, once, without_image};
use crate::bed::Bed;
use crate::container;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "pull-half",
    question: "What does it take to have an image whose three lower layers of six another image has brought here?",
    fairness: "As pull.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    if peer.speaks != Speaks::Docker {
        return Ok(None);
    }
    let (whole, half) = (bed.reference(), bed.half());
    let to_remove = half.clone();
    Ok(Some(
        Task::command(move || peer.command(&["pull", "--quiet", &whole]))
            .before(move || {
                without_image(bed, peer)?;
                peer.ask(&["pull", "--quiet", &half]).map(drop)
            })
            .check(|_| has_image(bed, peer, &bed.reference()))
            .after(move || {
                container::has_files(bed, peer)?;
                peer.ask(&["rmi", &to_remove]).map(drop)
            }),
    ))
}
