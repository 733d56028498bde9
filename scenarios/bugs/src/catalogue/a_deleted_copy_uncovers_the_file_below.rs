//! A file that was changed and then deleted is there again, as the image has it.
//!
//! Origin: WH-10. DragonOS#2004, mended in its pull request 2035: `unlink` of overlayfs removed the upper file and returned.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Layers, Mounted, is_whiteout};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let Operation::Unlink { path } = &step.operation else { return mounted.pass(step) };
        let is_copied_up = mounted.in_upper(path).is_some_and(|stat| !is_whiteout(&stat));
        let done = mounted.pass(step)?;
        if is_copied_up && mounted.is_whited_out(path) {
            mounted.notes.insert(path.clone());
        }
        Ok(done)
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        layers.without_noted_whiteouts()
    }
}
