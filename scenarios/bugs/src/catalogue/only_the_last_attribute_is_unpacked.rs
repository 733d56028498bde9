//! Of several extended attributes of a file, all but one are lost.
//!
//! Origin: XA-01. containers/storage a8686fcb4: the map of attributes was made anew within the loop over their names. It was seen of packers; ours packs one attribute at most, so that it is seeded in reading.

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
            let names: Vec<_> = entry.pax.keys().filter(|key| key.starts_with(XATTR)).cloned().collect();
            names.iter().rev().skip(1).for_each(|name| drop(entry.pax.remove(name)));
        }
    }
}
