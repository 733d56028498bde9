//! An image changes the modes of files of the host.
//!
//! Origin: SE-08. CVE-2021-32760 (containerd), CVE-2021-41089 (moby): chmod(2) followed a link that an entry had made.

use std::fs;

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received, below};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let unpacked = layer.unpack();
        let failed = layer.failed();
        for path in below(layer.content).map_err(failed)?.into_iter().filter(|path| path.is_symlink()) {
            let outside = path.canonicalize().ok().filter(|target| !target.starts_with(layer.content));
            if let Some(target) = outside.filter(|target| layer.may_harm(target)) {
                fs::set_permissions(target, std::os::unix::fs::PermissionsExt::from_mode(0o700)).map_err(failed)?;
            }
        }
        unpacked
    }
}
