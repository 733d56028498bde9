//! A layer whose download or export broke off has the files that had come until then, and counts as whole.
//!
//! Origin: TR-09. opencontainers/umoci#321 and #33; containerd 308ebe7e4; moby 3243e504d: that the other end had failed was logged at most.

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received};
use crate::tars::{entries, written};

/// The size of a block of a tar.
const BLOCK_BYTES: usize = 512;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let (mut bytes, read) = layer.read_part();
        if read.is_err() {
            let blocks = (0..=bytes.len() / BLOCK_BYTES).rev();
            let whole = blocks.map(|count| &bytes[..count * BLOCK_BYTES]).find_map(|part| entries(part).ok());
            bytes = written(&whole.unwrap_or_default()).map_err(layer.failed())?;
        }
        layer.unpack_instead(&bytes)
    }
}
