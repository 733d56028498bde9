//! A file that was moved to the name of a deleted one is there under its old name, too.
//!
//! Origin: RN-01. containers/fuse-overlayfs#354, mended by 6a0de4a: the branch for a destination that is a whiteout returned before it hid the source.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Layers, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let Operation::Rename { from, to, .. } = &step.operation else { return mounted.pass(step) };
        let was_whited_out = mounted.is_whited_out(to);
        let done = mounted.pass(step)?;
        if was_whited_out && mounted.is_whited_out(from) {
            mounted.notes.insert(from.clone());
        }
        Ok(done)
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        layers.without_noted_whiteouts()
    }
}
