//! A layer that hides a file and has one of that name lacks it.
//!
//! Origin: AP-05. opencontainers/umoci#229 and #232: the entries' order decided.

use std::fs;

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received, white_out};
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
        for entry in entries(&bytes).map_err(failed)? {
            let path = String::from_utf8_lossy(&entry.path()).trim_start_matches("./").to_owned();
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let hidden = name
                .strip_prefix(".wh.")
                .filter(|hidden| !hidden.starts_with(".wh."))
                .map(|hidden| layer.content.join(directory).join(hidden));
            if let Some(hidden) = hidden.filter(|hidden| hidden.is_file() && !hidden.is_symlink()) {
                fs::remove_file(&hidden).and_then(|()| white_out(&hidden)).map_err(failed)?;
            }
        }
        Ok(unpacked)
    }
}
