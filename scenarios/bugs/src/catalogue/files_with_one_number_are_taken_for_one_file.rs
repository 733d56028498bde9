//! A changed file is not among the changes of a container.
//!
//! Origin: DF-03. moby 03956610e: two files with one inode number counted as the same, whatever file systems they were of.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use layerlab_engine::driver::{Driver, DriverError, View};
use layerlab_engine::layer::{Change, ChangeKind};

use crate::bug::{Bug, Home};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn changes(&self, driver: &dyn Driver, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let mut changes = driver.changes(id, parent)?;
        let (old, new) = (driver.view(parent)?, driver.view(id)?);
        let number = |view: &View, path: &Path| {
            let meta = view.path().join(path.strip_prefix("/").unwrap_or(path)).symlink_metadata().ok()?;
            (!meta.is_dir()).then(|| meta.ino())
        };
        let is_same = |path: &Path| number(&old, path).is_some_and(|one| Some(one) == number(&new, path));
        changes.retain(|change| change.kind != ChangeKind::Modified || !is_same(&change.path));
        Ok(changes)
    }
}
