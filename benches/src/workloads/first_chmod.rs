//! The first change of the mode of a file that lies in the image.

use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::ensure;

use super::{Workload, none};
use crate::bed::Bed;
use crate::lower::{Change, changed, sizes};
use crate::peers::Peer;
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "first-chmod",
    question: "What does it take to change the mode of a file of so many KiB that lies in the image?",
    fairness: "As first-write: a driver without metadata-only copies copies all of it.",
    unit: "KiB",
    amounts: sizes,
    growth: none,
    samples: 5,
    goals: &[],
    task,
};

const MODE: u32 = 0o640;

fn task<'a>(bed: &'a Bed, peer: &'a Peer, kibibytes: u64) -> anyhow::Result<Option<Task<'a>>> {
    let change = Change {
        make: |file| Ok(set_permissions(file, Permissions::from_mode(MODE))?),
        check: |file| {
            let mode = file.metadata()?.permissions().mode() & 0o7777;
            ensure!(mode == MODE, "its mode is {mode:o}");
            Ok(())
        },
    };
    changed(bed, peer, kibibytes, change)
}
