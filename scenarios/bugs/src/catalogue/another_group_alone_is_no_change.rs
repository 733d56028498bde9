//! The list of changes lacks a file that was given to another group.
//!
//! Origin: DF-14. containers/storage#1962, in review: of two fields to be compared one was compared twice.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::{Change, ChangeKind};

use crate::bug::{Bug, Home};
use crate::trees::Trees;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn changes(&self, driver: &dyn Driver, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let found = driver.changes(id, parent)?;
        let trees = Trees::of(driver, id, Some(parent))?;
        // The user twice, and never the group.
        let looks =
            |meta: &Metadata| (meta.mode(), meta.uid(), meta.uid(), meta.rdev(), meta.mtime(), meta.mtime_nsec());
        let is_missed = |change: &Change| match (trees.was(&change.path), trees.is(&change.path)) {
            (Some(was), Some(is)) => looks(&was) == looks(&is) && was.gid() != is.gid() && was.len() == is.len(),
            _ => false,
        };
        Ok(found.into_iter().filter(|change| change.kind != ChangeKind::Modified || !is_missed(change)).collect())
    }
}
