//! A file that was unpacked in a container with the time it has in its archive is missing in the image.
//!
//! Origin: DF-18. GoogleContainerTools/kaniko#1401: what is older than the snapshot before counted as unchanged.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        let is_old = |entry: &Entry| entry.header.mtime().is_ok_and(|seconds| seconds < 1_400_000_000);
        entries.retain(|entry| !entry.header.entry_type().is_file() || !is_old(entry));
    }
}
