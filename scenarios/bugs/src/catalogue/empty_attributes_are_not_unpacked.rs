//! An extended attribute without a value is lost.
//!
//! Origin: TR-01. confidential-containers/guest-components#1737: a PAX record of no length counted as absent.

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
            entry.pax.retain(|key, value| !key.starts_with(XATTR) || !value.is_empty());
        }
    }
}
