//! An image writes files on the host.
//!
//! Origin: SE-03. CVE-2014-6407 (Docker before 1.3.2); SE-04, CVE-2014-9356: a name was joined to the directory, and opened.

use std::fs;

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received};
use crate::tars::entries;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let (bytes, failed) = (layer.read()?, layer.failed());
        let unpacked = layer.unpack_instead(&bytes);
        for entry in entries(&bytes).map_err(failed)?.iter().filter(|entry| entry.header.entry_type().is_file()) {
            let path = String::from_utf8_lossy(&entry.path()).into_owned();
            let path = layer.content.join(path.trim_start_matches('/'));
            let outside = path
                .parent()
                .and_then(|parent| parent.canonicalize().ok())
                .filter(|parent| !parent.starts_with(layer.content));
            if outside.is_some_and(|directory| layer.may_harm(&directory)) {
                fs::write(&path, &entry.content).map_err(failed)?;
            }
        }
        unpacked
    }
}
