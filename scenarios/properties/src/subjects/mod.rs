//! What is held against the laws: anything that stacks layers into one tree.
//!
//! *Why*: a law knows trees, not drivers. *Holds*: a stack lies wholly below the directory it was begun in and is gone
//! with it. *Never*: a law asks a subject's name; it asks what the subject promises. *Proved by*: the plain directory, on
//! which the laws are Linux's own.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use layerlab_model::promises::Promises;

use crate::machine::Host;
use crate::perform::{Hands, Performer};

mod data_only;
mod drivers;
mod overlay;
mod plain;

/// What a subject could not do, on which path.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct SubjectError {
    operation: &'static str,
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl SubjectError {
    /// For `map_err`.
    pub fn of<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> SubjectError {
        let path = path.to_owned();
        move |source| SubjectError { operation, path, source: source.into() }
    }
}

/// A way to stack layers.
pub trait Subject: Sync {
    /// What people call it, for `--subject`.
    fn name(&self) -> String;

    /// What it promises on this machine.
    fn promises(&self, host: &Host) -> Promises;

    /// Why this machine cannot run it, if so.
    fn refusal(&self, host: &Host) -> Option<String>;

    /// Why it cannot lie below the directory `place`, if so. It is tried, not guessed.
    fn refusal_on(&self, _place: &Path) -> Option<String> {
        None
    }

    /// The options with which the kernel's own overlayfs, mounted by hand, does the same; none where it is no overlayfs.
    fn mount_options(&self) -> Option<String> {
        None
    }

    /// Who does the steps in its merged tree.
    fn hands(&self) -> Box<dyn Hands> {
        Box::new(Performer::default())
    }

    /// Begins a stack of one empty layer below the empty directory `place`.
    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError>;
}

impl fmt::Debug for dyn Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Layers of a subject, of which the topmost is written to. Paths are those outside of the merged tree.
pub trait Stack {
    /// Mounts, and gives the root of the merged tree. Everything that it gave before is closed.
    fn mount(&mut self) -> Result<OwnedFd, SubjectError>;

    /// Unmounts; the merged tree is not in use any more.
    fn unmount(&mut self) -> Result<(), SubjectError>;

    /// The directory in which the upper layer lies as overlayfs keeps it, where there is one.
    fn upper(&self) -> Option<BorrowedFd<'_>>;

    /// The directories of the lower layers, as far as the subject has such.
    fn lowers(&self) -> Vec<PathBuf>;

    /// Writes what the top layer changes as a layer tar, applies that to what lies below in another place, and shows the tree
    /// there; none where a subject has no tars, or no diff that sees every change. Only while unmounted.
    fn applied(&mut self) -> Option<Result<Applied, SubjectError>> {
        None
    }

    /// Puts an empty layer on top; the one that was written to never changes again. Only while unmounted.
    fn commit(&mut self) -> Result<(), SubjectError>;
}

/// What became of a layer tar.
pub struct Applied {
    /// The root of the tree that it gives.
    pub tree: OwnedFd,
    /// The digest of the tar, and of one that was written a second time.
    pub diff_ids: [String; 2],
    /// What has to live as long as the tree is looked at.
    pub holds: Box<dyn std::any::Any>,
}

/// Every subject, by name.
pub fn all() -> Vec<Box<dyn Subject>> {
    let mut all: Vec<Box<dyn Subject>> = vec![Box::new(plain::Plain)];
    all.extend(overlay::all().map(|subject| Box::new(subject) as Box<dyn Subject>));
    all.extend(drivers::all().map(|subject| Box::new(subject) as Box<dyn Subject>));
    all
}
