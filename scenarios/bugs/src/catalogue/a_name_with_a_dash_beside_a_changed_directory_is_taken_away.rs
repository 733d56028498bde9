//! The list of changes names files that nobody touched, deleted and added, where a directory and another whose name goes on with a dash are side by side.
//!
//! Origin: DF-06. containerd/continuity 5a839c7: two walks were laid side by side by the bytes of whole paths, of which `-` comes before `/`.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::{Change, ChangeKind};

use crate::bug::{Bug, Home};
use crate::trees::Trees;

/// What two walks seem to have each alone.
fn alone(old: Vec<PathBuf>, new: Vec<PathBuf>) -> Vec<Change> {
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    let bytes = |path: &PathBuf| -> OsString { path.clone().into_os_string() };
    let mut found = Vec::new();
    loop {
        let (kind, path) = match (old.peek().map(bytes), new.peek().map(bytes)) {
            (None, None) => return found,
            (Some(was), Some(is)) if was == is => {
                old.next();
                new.next();
                continue;
            }
            (Some(was), is) if is.as_ref().is_none_or(|is| was < *is) => (ChangeKind::Deleted, old.next()),
            _ => (ChangeKind::Added, new.next()),
        };
        found.extend(path.map(|path| Change { kind, path }));
    }
}

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
        let (old, new) = (trees.old_paths().map_err(failed)?, trees.new_paths().map_err(failed)?);
        let both: BTreeSet<PathBuf> = old.iter().filter(|path| new.contains(path)).cloned().collect();
        // What is missed is the walks' order alone.
        found.extend(alone(old, new).into_iter().filter(|change| both.contains(&change.path)));
        found.sort_by(|one, other| one.path.cmp(&other.path));
        Ok(found)
    }
}
