//! A program that is no superuser cannot reach files of the image.
//!
//! Origin: PM-08. containers/storage#1288 (bfa0a3b58): a directory that no entry names was made with mode 0600.

use std::fs;

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received, below};
use crate::tars::entries;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let (bytes, failed) = (layer.read()?, layer.failed());
        let unpacked = layer.unpack_instead(&bytes)?;
        let named: Vec<String> = entries(&bytes).map_err(failed)?.iter().map(|entry| entry.path_below()).collect();
        for path in below(layer.content).map_err(failed)?.into_iter().filter(|path| path.is_dir() && !path.is_symlink())
        {
            let name = path.strip_prefix(layer.content).unwrap_or(&path).to_string_lossy().into_owned();
            if !named.contains(&name) {
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(failed)?;
            }
        }
        Ok(unpacked)
    }
}
