//! A link and its target in one directory come apart when the layer is unpacked elsewhere.
//!
//! Origin: TR-04. containers/buildah#2607, mended by #2598: the target was written relative to the link's own directory.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        for entry in entries.iter_mut().filter(|entry| entry.header.entry_type().is_hard_link()) {
            let (path, target) = (entry.path(), entry.link());
            let directory = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            if path[..directory(&path)] == target[..directory(&target)] && directory(&path) > 0 {
                entry.become_link_to(&target[directory(&target) + 1..]);
            }
        }
    }
}
