//! A directory that was emptied and removed is there again, with all it had, when the container starts anew.
//!
//! Origin: RD-04. containers/fuse-overlayfs#324: `rmdir` made no whiteout where the upper directory held whiteouts alone.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Layers, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let done = mounted.pass(step)?;
        if let Operation::Rmdir { path } = &step.operation {
            mounted.notes.insert(path.clone());
        }
        Ok(done)
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        layers.without_noted_whiteouts()?;
        layers.notes.clear();
        Ok(())
    }
}
