//! A program lacks its capabilities in the container, and nobody was told.
//!
//! Origin: XA-09. continuity fcfd613; moby 6690d2969c: what setxattr(2) refused was passed over.

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received};
use crate::tars::{XATTR, changed};

/// What is longer is refused (xattr(7)).
const XATTR_BYTES_MAX: usize = 64 << 10;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let (bytes, failed) = (layer.read()?, layer.failed());
        let is_taken = |key: &str, value: &[u8]| !key.starts_with(XATTR) || value.len() <= XATTR_BYTES_MAX;
        let bytes = changed(bytes, |entries| {
            entries.iter_mut().for_each(|entry| entry.pax.retain(|key, value| is_taken(key, value)));
        });
        let unpacked = layer.unpack_instead(&bytes.map_err(failed)?)?;
        Ok(Unpacked { xattrs_lost: 0, ..unpacked })
    }
}
