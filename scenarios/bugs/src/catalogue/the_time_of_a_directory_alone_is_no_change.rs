//! A directory has the image's old time after a commit, though it was given another.
//!
//! Origin: DF-13. moby/moby#9874 (2ce37f661) left such directories out, containers/storage#1962 (5e67fd063) takes them in: what is seen must not hang on the driver.

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
        Home::Driver("overlay2")
    }

    fn pack(
        &self,
        driver: &dyn Driver,
        id: &str,
        parent: Option<&str>,
        out: &mut dyn io::Write,
    ) -> Result<Packed, DriverError> {
        let trees = Trees::of(driver, id, parent)?;
        let own = driver.own_files(id);
        let looks = |meta: &Metadata| (meta.mode(), meta.uid(), meta.gid());
        packed_without(driver, (id, parent), out, |_, path| {
            let Some((was, is)) = trees.was(path).zip(trees.is(path)) else { return false };
            let is_empty = || own.join(path).read_dir().is_ok_and(|mut names| names.next().is_none());
            was.is_dir() && is.is_dir() && looks(&was) == looks(&is) && is_empty()
        })
    }
}
