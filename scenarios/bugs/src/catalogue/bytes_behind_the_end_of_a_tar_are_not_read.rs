//! The digest of a layer is wrong if its tar has zeros behind its end.
//!
//! Origin: CI-01. opencontainers/umoci#178 and #360; moby c128c134d: reading stopped at the mark of the end.

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let mut bytes = layer.read()?;
        let end = bytes.chunks(512).rposition(|block| block.iter().any(|byte| *byte != 0)).map_or(0, |last| last + 1);
        bytes.truncate((end + 2) * 512);
        layer.unpack_instead(&bytes)
    }
}
