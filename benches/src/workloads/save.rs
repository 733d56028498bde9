//! An image as an archive.

use std::fs::File;
use std::path::Path;

use anyhow::ensure;

use super::{Workload, members, none, once, with_image};
use crate::bed::Bed;
use crate::container;
use crate::floor::{copied, on_all_cores};
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "save",
    question: "What does it take to write an image into a file, as `docker save` does?",
    fairness: "The archive's layers are not compressed. The floor reads the layers' tars, makes their digests and writes them, on all cores.",
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
        Speaks::Nothing => {
            let (to, tars) = (file.clone(), container::tars(bed)?);
            Task::call(move || floor(bed, &tars, &to)).before(super::removed(&file)).check(move |_| {
                let bytes: u64 = bed.image.layers.iter().map(|layer| layer.tar_bytes).sum();
                ensure!(file.metadata()?.len() == bytes, "the floor wrote something else than the layers");
                Ok(())
            })
        }
        _ => return Ok(None),
    }))
}

/// Each layer's tar at its place in one file.
fn floor(bed: &Bed, tars: &Path, to: &Path) -> anyhow::Result<()> {
    let to = File::create(to)?;
    let paths: Vec<_> = bed.image.layers.iter().map(|layer| tars.join(&layer.diff_id)).collect();
    let mut at = 0;
    let mut jobs = Vec::new();
    for (layer, path) in bed.image.layers.iter().zip(&paths) {
        jobs.push((layer.tar_bytes, copied(path, &layer.diff_id, &to, at)));
        at += layer.tar_bytes;
    }
    // The largest first: whoever comes last should not have it.
    jobs.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
    on_all_cores(jobs.into_iter().map(|(_, job)| job).collect())
}
