//! Of two directories that were removed one after the other, the second is there again in the image.
//!
//! Origin: DF-07. containerd/continuity f3fdbe5: the prefix to skip was not renewed when the change before was a directory, too.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

fn entries_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        let paths: Vec<_> = entries.iter().map(Entry::path).collect();
        let mut number: usize = 0;
        entries.retain(|entry| {
            let before = number.checked_sub(1).map(|before| entries_name(&paths[before]));
            number += 1;
            !(entry.is_whiteout() && before.is_some_and(|name| name.starts_with(b".wh.")))
        });
    }
}
