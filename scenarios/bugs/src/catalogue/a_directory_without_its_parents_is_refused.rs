//! An image whose layer begins deep in the tree cannot be pulled.
//!
//! Origin: AP-01. moby/go-archive 517985a, in v0.2.1: parents were made for entries that are no directories only.

use std::io;

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
        let mut seen = vec![String::new()];
        for entry in entries(&bytes).map_err(failed)?.iter().filter(|entry| entry.header.entry_type().is_dir()) {
            let path = entry.path_below();
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
            if !seen.contains(&parent) {
                return Err(failed(io::ErrorKind::NotFound.into()));
            }
            seen.push(path);
        }
        layer.unpack_instead(&bytes)
    }
}
