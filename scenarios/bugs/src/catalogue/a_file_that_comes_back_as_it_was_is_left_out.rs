//! A file that one layer has, the next deletes and a third has again as it was is missing in the image.
//!
//! Origin: DF-16. GoogleContainerTools/kaniko#1637: what was packed was compared with the newest that any layer below has, not with the tree below.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Packed;

use crate::bug::{Bug, Home};
use crate::trees::{Trees, in_lowers, lowers, packed_without};

/// Whether two files look alike and hold the same.
fn are_alike(one: &Path, other: &Path) -> io::Result<bool> {
    let looks = |meta: &Metadata| (meta.mode(), meta.uid(), meta.gid(), meta.len(), meta.mtime());
    let (is, was) = (one.symlink_metadata()?, other.symlink_metadata()?);
    Ok(is.is_file() && was.is_file() && looks(&is) == looks(&was) && fs::read(one)? == fs::read(other)?)
}

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
        let (own, lowers, trees) = (driver.own_files(id), lowers(driver, id), Trees::of(driver, id, parent)?);
        packed_without(driver, (id, parent), out, |_, path| {
            let below = in_lowers(&lowers, path).filter(|_| trees.was(path).is_none());
            below.is_some_and(|below| are_alike(&own.join(path), &below).unwrap_or(false))
        })
    }
}
