//! A program with capabilities that belongs to an ordinary user has none in the container.
//!
//! Origin: XA-03. moby/buildkit 0a36f1afe; containers/storage 25d53dbc7: chown(2) removes them.

use crate::bug::{Bug, Home};
use crate::tars::{Entry, XATTR};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        for entry in entries.iter_mut() {
            if entry.header.uid().unwrap_or_default() != 0 {
                entry.pax.remove(&format!("{XATTR}security.capability"));
            }
        }
    }
}
