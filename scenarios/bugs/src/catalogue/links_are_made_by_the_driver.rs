//! A symbolic link that somebody makes belongs to the superuser.
//!
//! Origin: PM-07. containers/fuse-overlayfs bbc8181 (libpod#2091): the owner was set of what the link leads to.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let done = mounted.pass(step)?;
        if let Operation::Symlink { path, .. } = &step.operation {
            mounted.also(Operation::Chown {
                target: layerlab_model::operation::Target::Path(path.clone()),
                uid: 0,
                gid: 0,
            })?;
        }
        Ok(done)
    }
}
