//! Files of users with high numbers belong to others.
//!
//! Origin: TR-15. opencontainers/umoci's changelog of 0.5.0: user and group IDs were silently cut.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        for entry in entries.iter_mut() {
            entry.pax.remove("uid");
            let uid = entry.header.uid().unwrap_or_default();
            entry.change(|header| header.set_uid(uid & 0o7_777_777));
        }
    }
}
