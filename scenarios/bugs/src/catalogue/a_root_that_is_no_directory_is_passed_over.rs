//! An image whose root is a symbolic link is taken for a sound one.
//!
//! Origin: SE-10. CVE-2021-29136 (umoci before 0.4.7): such an entry took the root's place, and later layers went where it led.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        let is_root = |entry: &Entry| matches!(&entry.path()[..], b"./" | b"." | b"/" | b"");
        entries.retain(|entry| !is_root(entry) || entry.header.entry_type().is_dir());
    }
}
