//! A directory that was replaced by another has lost the mode and owner it was given.
//!
//! Origin: OP-01. moby/moby#27298, mended by #27705 and #29093: the header of the opaque mark took the place of the directory's own.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        let marks = entries.iter().map(Entry::path);
        let opaque: Vec<_> = marks.filter_map(|path| path.strip_suffix(b"/.wh..wh..opq").map(<[u8]>::to_vec)).collect();
        let is_opaque = |entry: &&mut Entry| opaque.iter().any(|path| entry.path().strip_suffix(b"/") == Some(path));
        for entry in entries.iter_mut().filter(is_opaque) {
            entry.change(|header| {
                header.set_mode(0o755);
                header.set_uid(0);
                header.set_gid(0);
            });
        }
    }
}
