//! A container's tree as a tar.

use std::fs::{self, File};

use anyhow::ensure;

use super::{Workload, created, forget, members, none, once, removed};
use crate::bed::Bed;
use crate::container;
use crate::floor::Tar;
use crate::image::digest;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "export",
    question: "What does it take to write a container's tree into a file, as `docker export` does?",
    fairness: "The container never ran. The floor reads the files of its tree, which lies in one directory, and writes the tar, whose headers it knows, on \
               all cores.",
    unit: "container",
    amounts: once,
    growth: none,
    samples: 10,
    goals: &[("docker", 4.0)],
    task,
};

const NAME: &str = "exported";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, _: u64) -> anyhow::Result<Option<Task<'a>>> {
    let file = bed.directory("archives")?.join(format!("{}.export", peer.name));
    match peer.speaks {
        Speaks::Docker => {}
        Speaks::Nothing => {
            let tar = Tar::of_directory(&container::unpacked(bed)?.join("tree"), &file)?;
            let (wanted, to) = (tar.digest.clone(), file.clone());
            return Ok(Some(Task::call(move || tar.write(&File::create(&to)?)).before(removed(&file)).check(
                move |_| {
                    ensure!(digest(&fs::read(&file)?) == wanted, "the floor wrote another tar");
                    Ok(())
                },
            )));
        }
        _ => return Ok(None),
    }
    created(bed, peer, NAME)?;
    let path = file.display().to_string();
    Ok(Some(
        Task::command(move || peer.command(&["export", "--output", &path, NAME]))
            .before(removed(&file))
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
