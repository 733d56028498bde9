//! A directory that was renamed is empty in the image.
//!
//! Origin: DF-09. moby/moby#34342; moby/buildkit#2490; containers/storage#118: the redirect of `redirect_dir` was not followed.

use std::io;

use crate::bug::{Bug, Home, Layers};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Mount("overlay-redirect")
    }

    fn committed(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        for path in layers.all_in_upper()? {
            // Most have none.
            let _ = rustix::fs::lremovexattr(&path, "trusted.overlay.redirect");
        }
        Ok(())
    }
}
