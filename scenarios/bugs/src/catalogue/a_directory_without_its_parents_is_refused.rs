//! An image whose layer begins deep in the tree cannot be pulled.
//!
//! Origin: AP-01. moby/go-archive 517985a, in v0.2.1: parents were made for entries that are no directories only.

use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};
use crate::tars::entries;

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
        let mut bytes = Vec::new();
        let failed = |source| UnpackError::Io { operation: "read the tar of", path: content.into(), source };
        tar.read_to_end(&mut bytes).map_err(failed)?;
        let plain = |path: &[u8]| String::from_utf8_lossy(path).trim_start_matches("./").trim_matches('/').to_owned();
        let mut seen = vec![String::new()];
        for entry in entries(&bytes).map_err(failed)?.iter().filter(|entry| entry.header.entry_type().is_dir()) {
            let path = plain(&entry.path());
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
            if !seen.contains(&parent) {
                return Err(failed(io::ErrorKind::NotFound.into()));
            }
            seen.push(path);
        }
        driver.unpack(&mut &bytes[..], content, owners, record)
    }
}
