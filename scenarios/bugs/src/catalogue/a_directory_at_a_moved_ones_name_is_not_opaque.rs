//! A new directory at the name of one that was moved away shows what was moved.
//!
//! Origin: RN-04. containers/fuse-overlayfs 0cc1b77, 86f98b4 and b054b9a.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Home, Layers, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Mount("overlay-redirect")
    }

    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let done = mounted.pass(step)?;
        if let Operation::Rename { from, .. } = &step.operation {
            mounted.notes.insert(from.clone());
        }
        Ok(done)
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        for path in layers.notes.iter().filter_map(|path| layers.in_upper(path)) {
            // Most have none.
            let _ = rustix::fs::lremovexattr(&path, "trusted.overlay.opaque");
        }
        Ok(())
    }
}
