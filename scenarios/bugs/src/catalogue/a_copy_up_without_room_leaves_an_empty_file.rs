//! A file is empty when there was no room to change it.
//!
//! Origin: NS-01. containers/fuse-overlayfs 6d75146 and 63a6dae; Linux before ab79efab0 (xfstests overlay/005): that copy-up had failed was not told, and what there
//! was of the copy took the file's place.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Access, Answer, Flags, Operation, Step};

use crate::bug::{Bug, Mounted, SPARE};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let copied = mounted.copied_up_by(step);
        let done = mounted.pass(step);
        if let (Some(path), Err(Errno::NOSPC)) = (copied, &done) {
            // Of a file that is emptied nothing is copied.
            let flags = Flags { truncate: true, ..Flags::of(Access::Write) };
            mounted.also(Operation::Open { slot: SPARE, path, flags, mode: 0 })?;
            mounted.also(Operation::Close { slot: SPARE })?;
        }
        done
    }
}
