//! Everybody can change the mode of the superuser's files.
//!
//! Origin: SE-19. CVE-2015-8660: `setattr` of overlayfs changed the copy with the mounter's rights.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Mounted, ThroughFuse};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn through_fuse(&self) -> ThroughFuse {
        ThroughFuse::Ungated
    }

    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        match (&step.operation, mounted.pass(step)) {
            (Operation::Chmod { .. }, Err(Errno::PERM)) => mounted.also(step.operation.clone()),
            (_, done) => done,
        }
    }
}
