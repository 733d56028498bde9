//! A device of an image with a high number is another device in the container.
//!
//! Origin: TR-11. moby/go-archive d40cb3c: `makedev` put together eight bits of each.

use crate::bug::{Bug, Home};
use crate::tars::Entry;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn received(&self, entries: &mut Vec<Entry>) {
        for entry in entries.iter_mut() {
            if let Ok(Some(minor)) = entry.header.device_minor() {
                entry.change(|header| drop(header.set_device_minor(minor & 0xff)));
            }
        }
    }
}
