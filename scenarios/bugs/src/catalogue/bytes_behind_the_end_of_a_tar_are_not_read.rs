//! The digest of a layer is wrong if its tar has zeros behind its end.
//!
//! Origin: CI-01. opencontainers/umoci#178 and #360; moby c128c134d: reading stopped at the mark of the end.

use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};

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
        let mut bytes = Vec::new();
        tar.read_to_end(&mut bytes).map_err(|source| UnpackError::Io {
            operation: "read the tar of",
            path: content.into(),
            source,
        })?;
        let end = bytes.chunks(512).rposition(|block| block.iter().any(|byte| *byte != 0)).map_or(0, |last| last + 1);
        bytes.truncate((end + 2) * 512);
        driver.unpack(&mut &bytes[..], content, owners, record)
    }
}
