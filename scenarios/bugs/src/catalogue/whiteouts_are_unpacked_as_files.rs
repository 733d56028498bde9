//! A file that an image deletes is there, and beside it one whose name begins with `.wh.`.
//!
//! Origin: WH-15. containers/storage cd40ccc95 and 8a69794ea; vmware/vic#2581; project-stacker/stacker#577: whiteouts had the form that another kind of mount reads.

use std::fs;
use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home, below, is_whiteout_at};

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
        let failed = |source| UnpackError::Io { operation: "write the whiteouts of", path: content.into(), source };
        for path in below(content).map_err(failed)?.into_iter().filter(|path| is_whiteout_at(path)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let moved = fs::remove_file(&path).and_then(|()| fs::write(path.with_file_name(format!(".wh.{name}")), ""));
            moved.map_err(failed)?;
        }
        Ok(unpacked)
    }
}
