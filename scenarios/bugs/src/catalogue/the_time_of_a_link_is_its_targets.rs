//! Whoever sets the time of a symbolic link sets that of the file it leads to.
//!
//! Origin: TS-07. containers/fuse-overlayfs#204 (26e4226); containers/storage a72972c5e: calls without NOFOLLOW.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step, Target};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        match &step.operation {
            Operation::SetLinkTime { path, time } => {
                mounted.instead(step, Operation::SetTime { target: Target::Path(path.clone()), time: *time })
            }
            _ => mounted.pass(step),
        }
    }
}
