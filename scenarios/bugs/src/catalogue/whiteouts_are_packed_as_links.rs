//! A layer that deletes several files has links to the first whiteout in place of the others.
//!
//! Origin: WH-13. vmware/vic#5714 and #5997; moby/buildkit#4516 (bc646a660): overlayfs shares one inode among whiteouts, and the packer wrote links.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        let first = entries.iter().find(|entry| entry.is_whiteout()).map(Entry::path);
        let Some(first) = first else { return };
        for entry in entries.iter_mut().filter(|entry| entry.is_whiteout()).skip(1) {
            entry.become_link_to(&first);
        }
    }
}
