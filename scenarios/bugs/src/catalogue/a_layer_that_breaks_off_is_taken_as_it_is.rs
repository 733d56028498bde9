//! A layer whose download or export broke off has the files that had come until then, and counts as whole.
//!
//! Origin: TR-09. opencontainers/umoci#321 and #33; containerd 308ebe7e4; moby 3243e504d: that the other end had failed was logged at most.

use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};
use crate::tars::{entries, written};

/// The size of a block of a tar.
const BLOCK_BYTES: usize = 512;

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
        if tar.read_to_end(&mut bytes).is_err() {
            let blocks = (0..=bytes.len() / BLOCK_BYTES).rev();
            let whole = blocks.map(|count| &bytes[..count * BLOCK_BYTES]).find_map(|part| entries(part).ok());
            let ended = written(&whole.unwrap_or_default());
            bytes = ended.map_err(|source| UnpackError::Io {
                operation: "end the tar of",
                path: content.into(),
                source,
            })?;
        }
        driver.unpack(&mut &bytes[..], content, owners, record)
    }
}
