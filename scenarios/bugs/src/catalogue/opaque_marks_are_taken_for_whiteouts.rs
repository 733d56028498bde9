//! A directory that was replaced shows what the one before it had.
//!
//! Origin: OP-06. concourse/registry-image-resource#267, mended by #284: `.wh.` was stripped before the test for the mark, so that the mark deleted a file `.wh..opq`.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        entries.retain(|entry| entry.name() != b".wh..wh..opq");
    }
}
