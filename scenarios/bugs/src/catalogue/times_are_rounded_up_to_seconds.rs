//! A file is younger after a commit than it was before, so that caches of builds miss.
//!
//! Origin: TS-01. containerd/containerd#3589, moby/buildkit#1153: times were rounded to the nearest second.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        for entry in entries.iter_mut() {
            // Layers carry whole seconds: what is rounded up is the next one.
            let seconds = entry.header.mtime().unwrap_or_default();
            entry.change(|header| header.set_mtime(seconds + 1));
        }
    }
}
