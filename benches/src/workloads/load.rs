//! An archive as an image.

use super::{Workload, has_image, none, once, unpacked, with_image, without_image};
use crate::bed::Bed;
use crate::container;
use crate::floor::Layers;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "load",
    question: "What does it take to have the image that `save` wrote into a file?",
    fairness: "Everybody loads the archive that it saved itself. What we and the floor have written survives a power cut when they end. The floor reads the \
               layers' tars, makes their digests, and writes their files with four system calls each, on all cores, and syncs the file system once.",
    unit: "image",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[("docker", 4.0)],
    task,
};

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    match peer.speaks {
        Speaks::Docker => {}
        Speaks::Nothing => return Ok(Some(unpacked(container::floor_of_layers(bed, "floor-load")?, Layers::unpacked))),
        _ => return Ok(None),
    }
    with_image(bed, peer)?;
    let file = bed.directory("archives")?.join(format!("{}.load", peer.name));
    let path = file.display().to_string();
    super::removed(&file)()?;
    peer.ask(&["save", "--output", &path, &bed.reference()])?;
    Ok(Some(
        Task::command(move || peer.command(&["load", "--quiet", "--input", &path]))
            .before(|| without_image(bed, peer))
            .check(|_| has_image(bed, peer, &bed.reference()))
            .after(move || {
                container::has_files(bed, peer)?;
                super::removed(&file)()
            }),
    ))
}
