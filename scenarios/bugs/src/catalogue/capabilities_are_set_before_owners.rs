//! A program with capabilities that belongs to an ordinary user has none in the container.
//!
//! Origin: XA-03. moby/buildkit 0a36f1afe; containers/storage 25d53dbc7: chown(2) removes them.

use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};
use crate::tars::{XATTR, unpacked_otherwise};

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
            for entry in entries.iter_mut() {
                if entry.header.uid().unwrap_or_default() != 0 {
                    entry.pax.remove(&format!("{XATTR}security.capability"));
                }
            }
        })
    }
}
