//! The root directory of a container has a default mode, whatever the image says.
//!
//! Origin: PM-10. containers/storage ff5851dca and 96545b849.

use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};
use crate::tars::unpacked_otherwise;

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
            entries.retain(|entry| !matches!(&entry.path()[..], b"./" | b"." | b"/" | b""));
        })
    }
}
