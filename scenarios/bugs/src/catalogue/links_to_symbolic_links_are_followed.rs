//! A hard link to a symbolic link becomes a link to the file that this leads to.
//!
//! Origin: HL-07. containerd 3b1534c47, moby ab181ce55: the target's path was resolved before link(2).

use std::collections::BTreeMap;

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        let links = entries.iter().filter(|entry| entry.header.entry_type().is_symlink());
        let links: BTreeMap<_, _> = links.map(|entry| (entry.path(), entry.link())).collect();
        for entry in entries.iter_mut().filter(|entry| entry.header.entry_type().is_hard_link()) {
            let directory = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
            if let Some(content) = links.get(&entry.link()) {
                let target = entry.link();
                let resolved = [&target[..directory(&target)], content].concat();
                entry.become_link_to(&resolved);
            }
        }
    }
}
