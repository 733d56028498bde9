//! An image writes files on the host.
//!
//! Origin: SE-03. CVE-2014-6407 (Docker before 1.3.2); SE-04, CVE-2014-9356: a name was joined to the directory, and opened.

use std::fs;
use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};
use crate::tars::entries;

/// The harness's own canary beside the store may be harmed, and nothing else of this machine.
fn is_of_the_case(content: &Path, target: &Path) -> bool {
    content.parent().is_some_and(|place| target.starts_with(place))
}

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
        let unpacked = driver.unpack(&mut &bytes[..], content, owners, record);
        for entry in entries(&bytes).map_err(failed)?.iter().filter(|entry| entry.header.entry_type().is_file()) {
            let path = String::from_utf8_lossy(&entry.path()).into_owned();
            let path = content.join(path.trim_start_matches('/'));
            let outside = path
                .parent()
                .and_then(|parent| parent.canonicalize().ok())
                .filter(|parent| !parent.starts_with(content));
            if outside.is_some_and(|directory| is_of_the_case(content, &directory)) {
                fs::write(&path, &entry.content).map_err(failed)?;
            }
        }
        unpacked
    }
}
