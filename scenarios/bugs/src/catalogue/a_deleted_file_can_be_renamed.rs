//! A file that was deleted can be renamed, and is there again under the other name.
//!
//! Origin: WH-01. containers/fuse-overlayfs#69, mended by #71; #169 (214d606): rename looked the source up in the upper layer, where the whiteout is.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Mounted, ThroughFuse};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn through_fuse(&self) -> ThroughFuse {
        ThroughFuse::Hidden("the kernel looks for a name before it asks for it to be renamed")
    }

    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let refused = mounted.pass(step);
        match &step.operation {
            Operation::Rename { from, to, .. } if refused == Err(Errno::NOENT) && mounted.is_whited_out(from) => {
                mounted.also(Operation::MknodFile { path: to.clone(), mode: 0 })
            }
            _ => refused,
        }
    }
}
