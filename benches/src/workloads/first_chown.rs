//! The first change of the owner of a file that lies in the image.

use std::os::unix::fs::{MetadataExt, chown};

use anyhow::ensure;

use super::{Workload, none};
use crate::bed::Bed;
use crate::lower::{Change, changed, sizes};
use crate::peers::Peer;
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "first-chown",
    question: "What does it take to change the owner of a file of so many KiB that lies in the image?",
    fairness: "As first-chmod.",
    unit: "KiB",
    amounts: sizes,
    growth: none,
    samples: 5,
    goals: &[],
    task,
};

const OWNER: u32 = 1000;

fn task<'a>(bed: &'a Bed, peer: &'a Peer, kibibytes: u64) -> anyhow::Result<Option<Task<'a>>> {
    let change = Change {
        make: |file| Ok(chown(file, Some(OWNER), Some(OWNER))?),
        check: |file| {
            let owner = file.metadata()?.uid();
            ensure!(owner == OWNER, "its owner is {owner}");
            Ok(())
        },
    };
    changed(bed, peer, kibibytes, change)
}
