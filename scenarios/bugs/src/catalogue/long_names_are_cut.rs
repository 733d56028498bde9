//! A file with a long path is somewhere else in the container.
//!
//! Origin: TR-13. moby/moby#38634 (docker/for-linux#484), go-containerregistry#1414: the format of old tars has room for 100 bytes.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        entries.retain(|entry| !entry.header.entry_type().is_gnu_longname());
        entries.iter_mut().for_each(|entry| drop(entry.pax.remove("path")));
    }
}
