//! The third name of a file is packed as a link to the second, which no reader need find.
//!
//! Origin: TR-03. containers/storage 8aad48ae2: the map from inode to name was overwritten by each new name.

use std::collections::BTreeMap;

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        let mut last = BTreeMap::new();
        for entry in entries.iter_mut().filter(|entry| entry.header.entry_type().is_hard_link()) {
            if let Some(before) = last.insert(entry.link(), entry.path()) {
                entry.become_link_to(&before);
            }
        }
    }
}
