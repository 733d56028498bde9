//! Somebody who may not change a file's mode makes the container carry a copy of the file.
//!
//! Origin: CU-08. Linux before 3fe6e52f0626 (xfstests overlay/020; also overlay/004): copy-up came before the check of permission.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Access, Answer, Flags, Operation, Step, Target};

use crate::bug::{Bug, Mounted, SPARE, ThroughFuse};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn through_fuse(&self) -> ThroughFuse {
        ThroughFuse::Ungated
    }

    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let refused = mounted.pass(step);
        if let (Operation::Chmod { target: Target::Path(path), .. }, Err(_)) = (&step.operation, &refused) {
            // Whoever opens a file to write copies it up.
            let open = Operation::Open { slot: SPARE, path: path.clone(), flags: Flags::of(Access::Write), mode: 0 };
            if mounted.also(open).is_ok() {
                mounted.also(Operation::Close { slot: SPARE })?;
            }
        }
        refused
    }
}
