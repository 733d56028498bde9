//! What a container has changed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::ensure;

use super::{Workload, changed, changed_directory, forget, names_of};
use crate::bed::Bed;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "diff",
    question: "What does it take to tell what a container has changed, when it has made so many files?",
    fairness: "dockerd compares the whole trees, we and podman read the upper directory. The floor walks that directory and asks for each name's \
               attributes once.",
    unit: "files made",
    amounts: |scale| scale.pick(vec![1, 5000], vec![1, 150]),
    growth: |scale| scale.pick(vec![1250, 2500, 10000], Vec::new()),
    samples: 15,
    goals: &[("docker", 50.0), ("podman", 6.0)],
    task,
};

const NAME: &str = "compared";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, files: u64) -> anyhow::Result<Option<Task<'a>>> {
    Ok(Some(match peer.speaks {
        Speaks::Docker => {
            changed(bed, peer, NAME, files)?;
            let task = Task::command(|| peer.command(&["diff", NAME])).check(move |said| {
                let told = said.lines().filter(|line| line.starts_with("A /data")).count() as u64;
                ensure!(
                    told == names_of(files),
                    "{} tells of {told} new names and not of {}",
                    peer.name,
                    names_of(files)
                );
                Ok(())
            });
            task.after(|| {
                forget(peer, NAME);
                Ok(())
            })
        }
        Speaks::Nothing => {
            let root = changed_directory(bed, "floor-diff", files)?;
            Task::call(move || {
                let walked = walk(&root)?;
                ensure!(walked == names_of(files), "{walked} names");
                Ok(())
            })
        }
        _ => return Ok(None),
    }))
}

fn walk(directory: &Path) -> std::io::Result<u64> {
    let mut names = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let facts = entry.metadata()?;
        names += u64::from(facts.ino() > 0);
        if facts.is_dir() {
            names += walk(&entry.path())?;
        }
    }
    Ok(names)
}
