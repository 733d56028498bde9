//! Whoever deletes a file of the image and makes it anew cannot write into it.
//!
//! Origin: PM-05. Linux before d0e13f5 (xfstests overlay/008): what took a whiteout's place was made with the rights of whoever had mounted.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step, Target};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let made = match &step.operation {
            Operation::Open { path, flags, .. } if flags.create => Some(path),
            Operation::Mkdir { path, .. }
            | Operation::MknodFile { path, .. }
            | Operation::Mknod { path, .. }
            | Operation::Symlink { path, .. } => Some(path),
            _ => None,
        };
        let replaces = made.filter(|path| mounted.is_whited_out(path));
        let done = mounted.pass(step)?;
        if let Some(path) = replaces {
            mounted.also(Operation::Chown { target: Target::Path(path.clone()), uid: 0, gid: 0 })?;
        }
        Ok(done)
    }
}
