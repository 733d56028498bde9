//! Of two names of one file, one is gone after the one is renamed to the other.
//!
//! Origin: RN-07. containers/fuse-overlayfs f58a9c4: POSIX has it that nothing happens then.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Replace, Step};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let Operation::Rename { from, to, replace: Replace::Yes } = &step.operation else { return mounted.pass(step) };
        let done = mounted.pass(step)?;
        if from != to && mounted.stat(from).is_some() {
            mounted.also(Operation::Unlink { path: from.clone() })?;
        }
        Ok(done)
    }
}
