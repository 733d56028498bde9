//! A directory that one layer deletes and the next makes anew has what it had at first.
//!
//! Origin: AP-02. moby/buildkit#2614: two layers were put into one upper directory, where the new directory took the whiteout's place and hid nothing.

use std::fs;
use std::path::Path;

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home, below, is_whiteout_at};
use crate::trees::lowers;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn adopt(&self, driver: &dyn Driver, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        let Some(parent) = parent else { return driver.adopt(id, parent, content) };
        let failed = |source| DriverError::Io { operation: "put two layers together in", path: content.into(), source };
        let (hiding, lowers) = (driver.own_files(parent), lowers(driver, parent));
        for directory in below(content).map_err(failed)?.into_iter().filter(|path| path.is_dir() && !path.is_symlink())
        {
            let name = directory.strip_prefix(content).unwrap_or(&directory);
            if !is_whiteout_at(&hiding.join(name)) {
                continue;
            }
            for old in lowers.iter().filter_map(|lower| lower.join(name).read_dir().ok()).flatten() {
                let old = old.map_err(failed)?;
                let shown = directory.join(old.file_name());
                // Names are enough to be seen.
                if shown.symlink_metadata().is_err() && !is_whiteout_at(&old.path()) {
                    fs::write(shown, "").map_err(failed)?;
                }
            }
        }
        driver.adopt(id, Some(parent), content)
    }
}
