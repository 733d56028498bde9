//! An image of what a container has changed: small files.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::ensure;

use super::{FILES_IN_DIRECTORY, Workload, changed, changed_directory, forget, has_layers, shows};
use crate::bed::Bed;
use crate::floor::{Job, Tree, durable, on_all_cores};
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "commit",
    question: "What does it take to make an image of a container that has made so many small files?",
    fairness: "What we and the floor have written survives a power cut when they end. The floor makes the digest of the upper directory's tar, by the \
               processor's own instructions, and writes a copy of each file with four system calls, on all cores, and syncs the file system once.",
    unit: "files made",
    amounts: |scale| scale.pick(vec![1, 5000], vec![1, 150]),
    growth: |scale| scale.pick(vec![1250, 2500, 10000], Vec::new()),
    samples: 15,
    goals: &[("docker", 5.0)],
    task,
};

const NAME: &str = "committed";
pub const REFERENCE: &str = "bench/committed";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, files: u64) -> anyhow::Result<Option<Task<'a>>> {
    Ok(Some(match peer.speaks {
        Speaks::Docker => {
            changed(bed, peer, NAME, files)?;
            let last = format!("/data/{}/{}", (files - 1) / FILES_IN_DIRECTORY, files - 1);
            committed(bed, peer, NAME, vec!["cat".to_owned(), last], (files - 1).to_string())
        }
        Speaks::Nothing => floor(bed, changed_directory(bed, "floor-commit", files)?)?,
        _ => return Ok(None),
    }))
}

/// The commit of the container called `name`, which is removed in the end, when a container of the image has said `expected` to `words`.
pub fn committed<'a>(
    bed: &'a Bed,
    peer: &'a Peer,
    name: &'static str,
    words: Vec<String>,
    expected: String,
) -> Task<'a> {
    Task::command(move || peer.command(&["commit", name, REFERENCE]))
        .before(|| {
            // It fails where there is none.
            drop(peer.ask(&["rmi", REFERENCE]));
            Ok(())
        })
        .check(|_| has_layers(peer, REFERENCE, bed.image.layers.len() + 1))
        .after(move || {
            forget(peer, name);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            shows(peer, REFERENCE, &words, &expected)?;
            peer.ask(&["rmi", REFERENCE]).map(drop)
        })
}

/// The digest of a directory's tar, and a copy of it that survives a power cut.
pub fn floor<'a>(bed: &'a Bed, root: PathBuf) -> anyhow::Result<Task<'a>> {
    let tree = Rc::new(Tree::of_directory(&root)?);
    let place = bed.directory("floor-committed")?;
    let (copy, copied) = (Rc::clone(&tree), place.clone());
    let task = Task::call(move || {
        let mut jobs: Vec<Job<'_>> = vec![Box::new(|| packed(&root))];
        jobs.extend(tree.begun(&place)?);
        on_all_cores(jobs)?;
        durable(&place)
    });
    Ok(task
        .before(|| bed.emptied("floor-committed").map(drop))
        .check(move |_| copy.is_made(&copied))
        .after(|| bed.emptied("floor-committed").map(drop)))
}

/// Makes the digest of a directory's tar.
pub fn packed(root: &Path) -> anyhow::Result<()> {
    let mut tar = tar::Builder::new(Digesting(ring::digest::Context::new(&ring::digest::SHA256)));
    tar.append_dir_all(".", root)?;
    let digest = tar.into_inner()?.0.finish();
    ensure!(digest.as_ref().len() == 32, "no digest");
    Ok(())
}

struct Digesting(ring::digest::Context);

impl std::io::Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
