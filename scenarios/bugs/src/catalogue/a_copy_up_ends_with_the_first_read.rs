//! A long file loses its end when its mode or its owner is changed.
//!
//! Origin: CU-04. containers/fuse-overlayfs f6262ed (1.1.0): copy-up took a read that gave less than it was asked for as the file's end.

use layerlab_model::errno::Errno;
use layerlab_model::inode::Time;
use layerlab_model::operation::{Answer, Operation, Step, Target};

use crate::bug::{Bug, Mounted};

/// What the first read gives.
const READ_BYTES: u32 = 4096;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let copied = mounted.copied_up_by(step);
        let done = mounted.pass(step)?;
        let copied = copied.and_then(|path| Some((mounted.stat(&path)?, path)));
        if let Some((stat, path)) =
            copied.filter(|(stat, _)| stat.st_mode & 0o170_000 == 0o100_000 && stat.st_size > i64::from(READ_BYTES))
        {
            let time = Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 };
            mounted.also(Operation::Truncate { target: Target::Path(path.clone()), length: READ_BYTES })?;
            mounted.also(Operation::SetTime { target: Target::Path(path), time })?;
        }
        Ok(done)
    }
}
