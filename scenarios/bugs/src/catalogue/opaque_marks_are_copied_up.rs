//! A directory that was replaced in an image loses what the image has in it when something is made in it.
//!
//! Origin: CU-01. Linux before 0956254a2d5b (xfstests overlay/014); containers/fuse-overlayfs ce93aba: copy-up took private attributes along.

use std::io;

use crate::bug::{Bug, Layers, below};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        let Some(upper) = layers.upper() else { return Ok(()) };
        for path in below(&upper)?.into_iter().filter(|path| path.is_dir() && !path.is_symlink()) {
            let name = path.strip_prefix(&upper).unwrap_or(&path);
            let is_opaque = |lower: &std::path::PathBuf| {
                rustix::fs::lgetxattr(lower.join(name), "trusted.overlay.opaque", &mut [0_u8; 8][..]).is_ok()
            };
            if layers.lowers().iter().any(is_opaque) {
                rustix::fs::lsetxattr(&path, "trusted.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())?;
            }
        }
        Ok(())
    }
}
