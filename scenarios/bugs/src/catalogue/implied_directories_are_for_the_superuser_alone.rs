//! A program that is no superuser cannot reach files of the image.
//!
//! Origin: PM-08. containers/storage#1288 (bfa0a3b58): a directory that no entry names was made with mode 0600.

use std::fs;
use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home, below};
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
        let unpacked = driver.unpack(&mut &bytes[..], content, owners, record)?;
        let plain = |path: &[u8]| String::from_utf8_lossy(path).trim_start_matches("./").trim_matches('/').to_owned();
        let named: Vec<String> = entries(&bytes).map_err(failed)?.iter().map(|entry| plain(&entry.path())).collect();
        for path in below(content).map_err(failed)?.into_iter().filter(|path| path.is_dir() && !path.is_symlink()) {
            let name = path.strip_prefix(content).unwrap_or(&path).to_string_lossy().into_owned();
            if !named.contains(&name) {
                fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(failed)?;
            }
        }
        Ok(unpacked)
    }
}
