//! The first capability of a file that lies in the image.

use anyhow::ensure;
use rustix::fs::{XattrFlags, getxattr, setxattr};

use super::{Workload, none};
use crate::bed::Bed;
use crate::lower::{Change, changed, sizes};
use crate::peers::Peer;
use crate::task::Task;

pub const WORKLOAD: Workload = Workload {
    name: "first-setcap",
    question: "What does it take to give a capability to a file of so many KiB that lies in the image?",
    fairness: "As first-chmod.",
    unit: "KiB",
    amounts: sizes,
    growth: none,
    samples: 5,
    goals: &[],
    task,
};

const NAME: &str = "security.capability";
/// `cap_net_bind_service=ep`, in the second revision of `struct vfs_cap_data` (linux/capability.h).
const VALUE: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn task<'a>(bed: &'a Bed, peer: &'a Peer, kibibytes: u64) -> anyhow::Result<Option<Task<'a>>> {
    let change = Change {
        make: |file| Ok(setxattr(file, NAME, &VALUE, XattrFlags::empty())?),
        check: |file| {
            let mut value = [0; VALUE.len()];
            let length = getxattr(file, NAME, &mut value)?;
            ensure!(length == VALUE.len() && value == VALUE, "its capability is {value:?}");
            Ok(())
        },
    };
    changed(bed, peer, kibibytes, change)
}
