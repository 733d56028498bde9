//! An extended attribute without a value is lost.
//!
//! Origin: TR-01. confidential-containers/guest-components#1737: a PAX record of no length counted as absent.

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
                entry.pax.retain(|key, value| !key.starts_with(XATTR) || !value.is_empty());
            }
        })
    }
}
