//! A layer that replaces a file replaces what its other names hold, too.
//!
//! Origin: AP-07. GoogleContainerTools/kaniko 38e8dc2cd and f23cc32c4; opencontainers/umoci#222 and #223: what stood at the name was opened and written, not removed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home, below};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("vfs")
    }

    fn adopt(&self, driver: &dyn Driver, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        let failed = |source| DriverError::Io { operation: "write through the links of", path: content.into(), source };
        let Some(old) = parent.map(|parent| driver.own_files(parent)) else { return driver.adopt(id, parent, content) };
        let plain = |path: &Path| path.symlink_metadata().ok().filter(fs::Metadata::is_file);
        let all = below(&old).map_err(failed)?;
        let mut written: Vec<(PathBuf, PathBuf)> = Vec::new();
        for path in below(content).map_err(failed)?.into_iter().filter(|path| plain(path).is_some()) {
            let name = path.strip_prefix(content).unwrap_or(&path);
            let Some(was) = plain(&old.join(name)) else { continue };
            let is_other_name =
                |other: &&PathBuf| **other != old.join(name) && plain(other).is_some_and(|it| it.ino() == was.ino());
            let others = all.iter().filter(is_other_name).map(|other| other.strip_prefix(&old).unwrap_or(other));
            written.extend(others.map(|other| (name.to_owned(), other.to_owned())));
        }
        driver.adopt(id, parent, content)?;
        let new = driver.own_files(id);
        for (from, to) in written {
            // The layer may have another file there, or none, or the same.
            let number = |path: &Path| plain(&new.join(path)).map(|meta| meta.ino());
            if number(&to).is_some() && number(&from).is_some() && number(&to) != number(&from) {
                fs::copy(new.join(from), new.join(to)).map_err(failed)?;
            }
        }
        Ok(())
    }
}
