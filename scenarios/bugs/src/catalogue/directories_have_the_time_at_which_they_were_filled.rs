//! A directory of an image has the time at which it was unpacked.
//!
//! Origin: TS-05. opencontainers/umoci#161, mended by #162: what had been set of a directory was not set again when something had been made in it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home, below};

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
        let unpacked = driver.unpack(tar, content, owners, record)?;
        let failed = |source| UnpackError::Io { operation: "fill the directories of", path: content.into(), source };
        for path in below(content).map_err(failed)?.into_iter().filter(|path| path.is_dir() && !path.is_symlink()) {
            if path.read_dir().map_err(failed)?.next().is_some() {
                fs::File::open(&path).and_then(|it| it.set_modified(SystemTime::now())).map_err(failed)?;
            }
        }
        Ok(unpacked)
    }
}
