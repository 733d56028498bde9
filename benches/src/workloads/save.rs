//! An image as an archive.

use anyhow::ensure;

use super::{Workload, members, none, once, with_image};
use crate::bed::Bed;
use crate::container;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "save",
    question: "What does it take to write an image into a file, as `docker save` does?",
    fairness: "The archive's layers are not compressed. The floor reads the layers' tars, makes their digests and writes them.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[("docker", 4.0)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    let file = bed.directory("archives")?.join(format!("{}.save", peer.name));
    Ok(Some(match peer.speaks {
        Speaks::Docker => {
            with_image(bed, peer)?;
            let path = file.display().to_string();
            Task::command(move || peer.command(&["save", "--output", &path, &bed.reference()]))
                .before(super::removed(&file))
                .check(move |_| {
                    let bytes: u64 = bed.image.layers.iter().map(|layer| layer.tar_bytes).sum();
                    ensure!(file.metadata()?.len() >= bytes, "{} saved less than the layers", peer.name);
                    members(&file, "manifest.json").map(drop)
                })
        }
        Speaks::Nothing => Task::call({
            let (to, tars) = (file.clone(), container::tars(bed)?);
            move || container::copy_tars(bed, &tars, &to)
        })
        .before(super::removed(&file)),
        _ => return Ok(None),
    }))
}
