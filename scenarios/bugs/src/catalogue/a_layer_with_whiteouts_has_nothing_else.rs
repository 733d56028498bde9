//! A layer in which something was deleted lacks the files that were written.
//!
//! Origin: DF-20. opencontainers/umoci#572: a `continue` stood behind the branch for whiteouts, for four years.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        if entries.iter().any(Entry::is_whiteout) {
            entries.retain(|entry| entry.is_whiteout() || entry.header.entry_type().is_dir());
        }
    }
}
