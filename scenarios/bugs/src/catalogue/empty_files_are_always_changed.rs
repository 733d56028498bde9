//! The list of changes names every empty file, though nothing happened to it.
//!
//! Origin: DF-04. containerd/continuity#152, mended by 11900e8: contents counted as equal only when something had been read of them.

use std::fs::Metadata;
use std::path::Path;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::{Change, ChangeKind};

use crate::bug::{Bug, Home};
use crate::trees::Trees;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("vfs")
    }

    fn changes(&self, driver: &dyn Driver, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let mut found = driver.changes(id, parent)?;
        let trees = Trees::of(driver, id, Some(parent))?;
        let failed = |source| DriverError::Io { operation: "walk through", path: id.into(), source };
        let is_empty = |meta: Option<Metadata>| meta.is_some_and(|meta| meta.is_file() && meta.len() == 0);
        let is_listed = |path: &Path| found.iter().any(|change| change.path == path);
        let paths = trees.new_paths().map_err(failed)?.into_iter();
        let unchanged = paths.filter(|path| is_empty(trees.was(path)) && is_empty(trees.is(path)) && !is_listed(path));
        let unchanged: Vec<_> = unchanged.map(|path| Change { kind: ChangeKind::Modified, path }).collect();
        found.extend(unchanged);
        Ok(found)
    }
}
