//! A program that is set-user-ID and belongs to an ordinary user is not set-user-ID in the container.
//!
//! Origin: PM-01. opencontainers/umoci#166, mended by #169; moby/moby#36239: chown(2) clears these bits when it comes after chmod(2).

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
            let owner = entry.header.uid().unwrap_or_default();
            if let Some(mode) = entry.header.mode().ok().filter(|_| owner != 0 && entry.header.entry_type().is_file()) {
                entry.change(|header| header.set_mode(mode & 0o1777));
            }
        }
    }
}
