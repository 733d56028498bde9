//! A file that an image deletes is there, and beside it one whose name begins with `.wh.`.
//!
//! Origin: WH-15. containers/storage cd40ccc95 and 8a69794ea; vmware/vic#2581; project-stacker/stacker#577: whiteouts had the form that another kind of mount reads.

use std::fs;

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received, below, is_whiteout_at};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let unpacked = layer.unpack()?;
        let failed = layer.failed();
        for path in below(layer.content).map_err(failed)?.into_iter().filter(|path| is_whiteout_at(path)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let moved = fs::remove_file(&path).and_then(|()| fs::write(path.with_file_name(format!(".wh.{name}")), ""));
            moved.map_err(failed)?;
        }
        Ok(unpacked)
    }
}
