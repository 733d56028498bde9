//! Files of an image have lost the fractions of their times, and programs that compare them behave otherwise.
//!
//! Origin: TS-02. moby/moby#40004; containers/storage 38ce897d7.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        entries.iter_mut().for_each(|entry| drop(entry.pax.remove("mtime")));
    }
}
