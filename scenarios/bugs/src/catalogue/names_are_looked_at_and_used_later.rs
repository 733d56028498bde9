//! Whoever swaps a directory for a link at the right moment has files written on the host.
//!
//! Origin: SE-06. CVE-2018-15664 (mended by moby's pull request 39292 and containers/storage's 357); containerd ba50a5645: a path was found to be sound, and then opened.

use std::fs;
use std::thread;
use std::time::Duration;

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received};
use crate::tars::entries;

/// From the look to the use.
const WINDOW: Duration = Duration::from_micros(100);

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let (bytes, failed) = (layer.read()?, layer.failed());
        let unpacked = layer.unpack_instead(&bytes);
        for entry in entries(&bytes).unwrap_or_default().iter().filter(|entry| entry.header.entry_type().is_file()) {
            let path = layer.content.join(String::from_utf8_lossy(&entry.path()).trim_start_matches('/'));
            let Some(directory) = path.parent() else { continue };
            let is_sound = directory.symlink_metadata().is_ok_and(|found| found.is_dir());
            thread::sleep(WINDOW);
            // What it leads to now. The harness's own canary beside the layer may be harmed, and nothing else of this machine.
            let now = directory.canonicalize().unwrap_or_default();
            let is_outside = !now.starts_with(layer.content) && layer.may_harm(&now);
            if is_sound && is_outside {
                fs::write(now.join(path.file_name().unwrap_or_default()), &entry.content).map_err(failed)?;
            }
        }
        unpacked
    }
}
