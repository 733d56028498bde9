//! A layer that deletes several files has links to the first whiteout in place of the others.
//!
//! Origin: WH-13. vmware/vic#5714 and #5997; moby/buildkit#4516 (bc646a660): overlayfs shares one inode among whiteouts, and the packer wrote links.

use std::io;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Packed;

use crate::bug::{Bug, Home};
use crate::tars::{Entry, packed_otherwise};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn pack(
        &self,
        driver: &dyn Driver,
        id: &str,
        parent: Option<&str>,
        out: &mut dyn io::Write,
    ) -> Result<Packed, DriverError> {
        packed_otherwise(driver, id, parent, out, |entries| {
            let first = entries.iter().find(|entry| entry.is_whiteout()).map(Entry::path);
            let Some(first) = first else { return };
            for entry in entries.iter_mut().filter(|entry| entry.is_whiteout()).skip(1) {
                entry.become_link_to(&first);
            }
        })
    }
}
