//! A file that was changed right after the image was made, and is as long as before, is the old one in the new image.
//!
//! Origin: DF-01. moby/moby#21555, mended for overlay2 by #22126: a file of the same size and the same second counted as unchanged.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Packed;

use crate::bug::{Bug, Home};
use crate::trees::{Trees, packed_without};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("vfs")
    }

    fn pack(
        &self,
        driver: &dyn Driver,
        id: &str,
        parent: Option<&str>,
        out: &mut dyn io::Write,
    ) -> Result<Packed, DriverError> {
        let looks = |meta: &Metadata| (meta.mode(), meta.uid(), meta.gid(), meta.len(), meta.mtime());
        let trees = Trees::of(driver, id, parent)?;
        packed_without(driver, (id, parent), out, |_, path| match (trees.was(path), trees.is(path)) {
            (Some(was), Some(is)) => was.is_file() && is.nlink() == 1 && looks(&was) == looks(&is),
            _ => false,
        })
    }
}
