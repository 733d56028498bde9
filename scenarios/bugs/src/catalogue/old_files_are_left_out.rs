//! A file that was unpacked in a container with the time it has in its archive is missing in the image.
//!
//! Origin: DF-18. GoogleContainerTools/kaniko#1401: what is older than the snapshot before counted as unchanged.

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
            let is_old = |entry: &Entry| entry.header.mtime().is_ok_and(|seconds| seconds < 1_400_000_000);
            entries.retain(|entry| !entry.header.entry_type().is_file() || !is_old(entry));
        })
    }
}
