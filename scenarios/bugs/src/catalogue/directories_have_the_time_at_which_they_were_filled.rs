//! A directory of an image has the time at which it was unpacked.
//!
//! Origin: TS-05. opencontainers/umoci#161, mended by #162: what had been set of a directory was not set again when something had been made in it.

use std::fs;
use std::time::SystemTime;

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received, below};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let unpacked = layer.unpack()?;
        let failed = layer.failed();
        for path in below(layer.content).map_err(failed)?.into_iter().filter(|path| path.is_dir() && !path.is_symlink())
        {
            if path.read_dir().map_err(failed)?.next().is_some() {
                fs::File::open(&path).and_then(|it| it.set_modified(SystemTime::now())).map_err(failed)?;
            }
        }
        Ok(unpacked)
    }
}
