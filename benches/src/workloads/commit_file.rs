//! An image of what a container has changed: one large file.

use std::fs::File;
use std::io::{self, Read};

use super::commit::{committed, floor};
use super::{Workload, forget, with_image};
use crate::bed::Bed;
use crate::peers::{Peer, Speaks};
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "commit-file",
    question: "What does it take to make an image of a container that has made one large file?",
    fairness: "The file's bytes are random. podman compresses the layer while it commits; dockerd and we do not. The floor is commit's.",
    unit: "MiB",
    amounts: |scale| scale.pick(vec![200], vec![1]),
    growth: |scale| scale.pick(vec![50, 100, 400], Vec::new()),
    samples: 10,
    goals: &[("docker", 5.0)],
    task,
};

const NAME: &str = "large";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, mebibytes: u64) -> anyhow::Result<Option<Task<'a>>> {
    Ok(Some(match peer.speaks {
        Speaks::Docker => {
            with_image(bed, peer)?;
            forget(peer, NAME);
            let script = format!("head -c {} /dev/urandom > /file", mebibytes << 20);
            peer.ask(&["run", "--name", NAME, "--network", "none", &bed.reference(), "sh", "-c", &script])?;
            let size = vec!["stat".to_owned(), "-c".to_owned(), "%s".to_owned(), "/file".to_owned()];
            committed(bed, peer, NAME, size, (mebibytes << 20).to_string())
        }
        Speaks::Nothing => {
            let root = bed.emptied("floor-commit-file")?;
            let mut random = File::open("/dev/urandom")?.take(mebibytes << 20);
            io::copy(&mut random, &mut File::create(root.join("file"))?)?;
            floor(bed, root)?
        }
        _ => return Ok(None),
    }))
}
