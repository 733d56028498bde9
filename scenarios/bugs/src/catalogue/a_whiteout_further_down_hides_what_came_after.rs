//! A file that was deleted in one layer and made again in the next is gone in the container.
//!
//! Origin: WH-07. containers/fuse-overlayfs 44d23bc and d5b2cec: the lookup went on through the lower layers after the file was found.

use std::fs;
use std::io;

use crate::bug::{Bug, Layers, below, is_whiteout_at, white_out};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn committed(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        let Some(upper) = layers.upper() else { return Ok(()) };
        for path in below(&upper)? {
            let name = path.strip_prefix(&upper).unwrap_or(&path);
            let is_hidden = layers.lowers().iter().any(|lower| is_whiteout_at(&lower.join(name)));
            if is_hidden && path.symlink_metadata()?.is_file() {
                fs::remove_file(&path)?;
                white_out(&path)?;
            }
        }
        Ok(())
    }
}
