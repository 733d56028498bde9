//! An image with hard links whose targets begin with a slash cannot be pulled.
//!
//! Origin: AP-09. moby/go-archive#99, mended by #100: such targets were taken for an attack.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        for entry in entries.iter_mut().filter(|entry| entry.header.entry_type().is_hard_link()) {
            if entry.link().starts_with(b"/") {
                entry.become_link_to(b"../outside");
            }
        }
    }
}
