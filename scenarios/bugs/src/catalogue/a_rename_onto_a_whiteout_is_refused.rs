//! A file cannot be moved to the name of a deleted one: it is said to be there.
//!
//! Origin: RN-02. containers/fuse-overlayfs#273 and google/gvisor#11794: RENAME_NOREPLACE was passed to the upper file system, where a whiteout was in the way.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Replace, Step};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        match &step.operation {
            Operation::Rename { to, replace: Replace::No, .. } if mounted.is_whited_out(to) => Err(Errno::EXIST),
            _ => mounted.pass(step),
        }
    }
}
