//! The root directory of a container has a default mode, whatever the image says.
//!
//! Origin: PM-10. containers/storage ff5851dca and 96545b849.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        entries.retain(|entry| !matches!(&entry.path()[..], b"./" | b"." | b"/" | b""));
    }
}
