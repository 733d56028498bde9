//! An image whose root is a symbolic link is taken for a sound one.
//!
//! Origin: SE-10. CVE-2021-29136 (umoci before 0.4.7): such an entry took the root's place, and later layers went where it led.

use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};
use crate::tars::{Entry, unpacked_otherwise};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(
        &self,
        driver: &dyn Driver,
        tar: &mut dyn io::Read,
        content: &Path,
        owners: Owners,
        record: &mut dyn io::Write,
    ) -> Result<Unpacked, UnpackError> {
        unpacked_otherwise(driver, tar, content, owners, record, |entries| {
            let is_root = |entry: &Entry| matches!(&entry.path()[..], b"./" | b"." | b"/" | b"");
            entries.retain(|entry| !is_root(entry) || entry.header.entry_type().is_dir());
        })
    }
}
