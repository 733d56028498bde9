//! The first write to a file that lies in the image.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use anyhow::ensure;

use super::{Workload, none};
use crate::bed::Bed;
use crate::lower::{Change, changed, sizes};
use crate::peers::Peer;
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "first-write",
    question: "What does it take to write the first byte to a file of so many KiB that lies in the image?",
    fairness: "In a container that runs, from outside, so that no client and no process starts in any figure. overlay2 is the kernel's in all of them, \
               and syncs the copy; vfs copied all when the container was made: that is create's. The floor copies the file and writes the \
               byte. Space is what the file system has less of afterwards.",
    unit: "KiB",
    amounts: sizes,
    growth: none,
    samples: 5,
    goals: &[],
    task,
};

const WRITTEN: &[u8] = b"!";

fn task<'a>(bed: &'a Bed, peer: &'a Peer, kibibytes: u64) -> anyhow::Result<Option<Task<'a>>> {
    let change = Change {
        make: |file| Ok(OpenOptions::new().write(true).open(file)?.write_all_at(WRITTEN, 0)?),
        check: |file| {
            let mut read = [0];
            File::open(file)?.read_exact_at(&mut read, 0)?;
            ensure!(read == WRITTEN, "it begins with {read:?}");
            Ok(())
        },
    };
    changed(bed, peer, kibibytes, change)
}
