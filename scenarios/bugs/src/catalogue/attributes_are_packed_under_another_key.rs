//! All extended attributes are lost on the way through a layer.
//!
//! Origin: XA-08. containerd/containerd 6f944e419 (#2863): the writer wrote `SCHILY.xattrs.`.

use crate::bug::{Bug, Home};
use crate::tars::{Entry, XATTR};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        for entry in entries.iter_mut() {
            let pax = std::mem::take(&mut entry.pax);
            let renamed = pax.into_iter().map(|(key, value)| (key.replace(XATTR, "SCHILY.xattrs."), value));
            entry.pax = renamed.collect();
        }
    }
}
