//! Places below a data root where something waits until it is registered: layers that arrive, archives, contexts of builds.
//!
//! A place is `<data root>/tmp/<prefix>*`, locked while its maker lives, so that what a killed command left is known for what it is and
//! swept away by the next one that makes a place, or makes or removes anything. A place is made, and it is looked for left ones, under the lock on `tmp`: one that is
//! made, but not locked yet, would be nobody's.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Asked, Hold, Lock, StoreError, failed};
use crate::sys::overlay::TRIAL;
use crate::sys::removal::remove_tree;

/// What is pulled or committed.
const PULL: &str = "pull-";
/// What comes out of an archive; dockerd calls it so.
const IMPORT: &str = "docker-import-";
/// What is sent to be built; dockerd calls it so.
const BUILD: &str = "docker-builder";

/// A place of one command. It is gone when this is dropped, or swept by the next command if that is killed.
#[derive(Debug)]
pub struct Staging {
    directory: PathBuf,
    _lock: Lock,
}

impl Staging {
    /// A place for what is pulled or committed.
    pub fn new(data_root: &Path) -> Result<Staging, StoreError> {
        Staging::called(PULL, data_root)
    }

    /// A place for what comes out of an archive.
    pub fn for_import(data_root: &Path) -> Result<Staging, StoreError> {
        Staging::called(IMPORT, data_root)
    }

    /// A place for the context of a build.
    pub fn for_build(data_root: &Path) -> Result<Staging, StoreError> {
        Staging::called(BUILD, data_root)
    }

    fn called(prefix: &str, data_root: &Path) -> Result<Staging, StoreError> {
        let scratch = data_root.join("tmp");
        let _turn = Lock::exclusive(&scratch)?;
        sweep_in(&scratch)?;
        let directory = tempfile::Builder::new().prefix(prefix).tempdir_in(&scratch);
        let directory = directory.map_err(failed("create", &scratch))?.keep();
        let lock = Lock::exclusive(&directory)?;
        Ok(Staging { directory, _lock: lock })
    }

    /// A new directory of mode 0755, the mode of a layer's root unless its tar says otherwise.
    pub fn layer(&self, index: usize) -> Result<PathBuf, StoreError> {
        let path = self.path(index);
        let made = fs::create_dir(&path);
        let opened = made.and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        opened.map_err(failed("create", &path))?;
        Ok(path)
    }

    /// Where the layer `index` is, or will be.
    pub fn path(&self, index: usize) -> PathBuf {
        self.directory.join(index.to_string())
    }

    /// The whole place.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.directory) {
            tracing::error!(%error, "what was unpacked stays until the next command that makes or removes something");
        }
    }
}

/// Removes the places below `data_root` whose makers are gone.
pub fn sweep(data_root: &Path) -> Result<(), StoreError> {
    let scratch = data_root.join("tmp");
    if !scratch.is_dir() {
        return Ok(());
    }
    let _turn = Lock::exclusive(&scratch)?;
    sweep_in(&scratch)
}

/// The places below `data_root` whose makers are gone.
pub fn left(data_root: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let scratch = data_root.join("tmp");
    if !scratch.is_dir() {
        return Ok(Vec::new());
    }
    let _turn = Lock::exclusive(&scratch)?;
    Ok(left_in(&scratch)?.into_iter().map(|(path, _)| path).collect())
}

/// Removes `path` if it is one of [`left`], and says whether it was.
pub fn remove_left(data_root: &Path, path: &Path) -> Result<bool, StoreError> {
    let scratch = data_root.join("tmp");
    let _turn = Lock::exclusive(&scratch)?;
    let Some((path, _lock)) = left_in(&scratch)?.into_iter().find(|(left, _)| left == path) else { return Ok(false) };
    remove(&path).map(|()| true)
}

/// To be called under the lock on `scratch`.
fn sweep_in(scratch: &Path) -> Result<(), StoreError> {
    left_in(scratch)?.iter().try_for_each(|(path, _lock)| remove(path))
}

/// To be called under the lock on `scratch`.
fn left_in(scratch: &Path) -> Result<Vec<(PathBuf, Lock)>, StoreError> {
    let mut left = Vec::new();
    for entry in fs::read_dir(scratch).map_err(failed("list", scratch))?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if [PULL, IMPORT, BUILD, TRIAL].iter().any(|prefix| name.starts_with(prefix))
            && let Ok(Asked::Held(lock)) = Lock::ask(&entry.path(), Hold::AloneNow)
        {
            left.push((entry.path(), lock));
        }
    }
    left.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(left)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match remove_tree(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{IFlags, ioctl_setflags};

    use super::*;

    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("tmp")).unwrap();
        root
    }

    #[test]
    fn a_place_that_is_used_stays_and_one_of_nobody_is_swept() {
        let root = root();
        let used = Staging::new(root.path()).unwrap();
        let dead = root.path().join("tmp/docker-import-dead");
        fs::create_dir_all(dead.join("0/deep")).unwrap();
        assert_eq!(left(root.path()).unwrap(), std::slice::from_ref(&dead));
        assert!(!remove_left(root.path(), used.directory()).unwrap());
        let other = Staging::for_build(root.path()).unwrap();
        assert!(used.directory().is_dir() && other.directory().is_dir() && !dead.exists());
        fs::create_dir(&dead).unwrap();
        sweep(root.path()).unwrap();
        assert!(used.directory().is_dir() && other.directory().is_dir() && !dead.exists());
        drop((used, other));
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn a_place_with_files_that_are_immutable_goes_too() {
        let root = root();
        let place = Staging::new(root.path()).unwrap();
        let file = fs::File::create(place.layer(0).unwrap().join("fixed")).unwrap();
        // Only root may, and not on every file system: then there is nothing to be freed.
        let _ = ioctl_setflags(&file, IFlags::IMMUTABLE);
        drop(place);
        assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
    }
}
