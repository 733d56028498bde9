//! A program lacks its capabilities in the container, and nobody was told.
//!
//! Origin: XA-09. continuity fcfd613; moby 6690d2969c: what setxattr(2) refused was passed over.

use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};
use crate::tars::{XATTR, changed};

/// What is longer is refused (xattr(7)).
const XATTR_BYTES_MAX: usize = 64 << 10;

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
        let failed = |source| UnpackError::Io { operation: "read the tar of", path: content.into(), source };
        let mut bytes = Vec::new();
        tar.read_to_end(&mut bytes).map_err(failed)?;
        let is_taken = |key: &str, value: &[u8]| !key.starts_with(XATTR) || value.len() <= XATTR_BYTES_MAX;
        let bytes = changed(bytes, |entries| {
            entries.iter_mut().for_each(|entry| entry.pax.retain(|key, value| is_taken(key, value)));
        });
        let unpacked = driver.unpack(&mut &bytes.map_err(failed)?[..], content, owners, record)?;
        Ok(Unpacked { xattrs_lost: 0, ..unpacked })
    }
}
