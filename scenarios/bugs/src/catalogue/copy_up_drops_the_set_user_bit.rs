//! A program that is set-user-ID is not any more when its time or owner was set.
//!
//! Origin: PM-02. Copy-up with the mode's lowest nine bits only; set-user-ID programs lost it in containers/fuse-overlayfs#127 (buildah#1893).

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step, Target};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let (Operation::SetTime { target: Target::Path(path), .. } | Operation::Touch { target: Target::Path(path) }) =
            &step.operation
        else {
            return mounted.pass(step);
        };
        let is_below = mounted.in_upper(path).is_none();
        let done = mounted.pass(step)?;
        if let Some(stat) = mounted.stat(path).filter(|stat| is_below && stat.st_mode & 0o7000 != 0) {
            let time = step.operation.clone();
            mounted.also(Operation::Chmod { target: Target::Path(path.clone()), mode: stat.st_mode & 0o777 })?;
            mounted.also(time)?;
        }
        Ok(done)
    }
}
