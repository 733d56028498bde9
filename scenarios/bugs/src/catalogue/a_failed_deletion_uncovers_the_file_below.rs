//! A deletion for which there is no room is refused, and yet what was written into the file is lost.
//!
//! Origin: CR-01. google/gvisor#14726, mended in its pull request 14727; containers/fuse-overlayfs 7dcef07 and 090f9e1: the upper file was removed, or moved, before
//! the whiteout was made that takes its place.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Mounted, is_whiteout, split};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let Operation::Unlink { path } = &step.operation else { return mounted.pass(step) };
        let (directory, name) = split(path);
        let is_copied_up = mounted.in_upper(path).is_some_and(|stat| !is_whiteout(&stat))
            && mounted.names_in_lowers(&directory).contains(&name);
        let done = mounted.pass(step);
        if is_copied_up && done == Err(Errno::NOSPC) {
            mounted.uncover(path)?;
        }
        done
    }
}
