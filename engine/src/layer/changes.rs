//! What differs between two mounted trees, as `docker diff` tells it.
//!
//! Docker compares what `lstat` says and not contents: a file is changed when its mode, owner, device number, size or
//! modification time differ (for directories not the last two), or its capability. Source: recorded dockerd 20.10 and
//! `pkg/archive/changes.go`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How a path changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// `C`: it is another one now, or something below it changed.
    Modified,
    /// `A`: it is new.
    Added,
    /// `D`: it is gone.
    Deleted,
}

impl ChangeKind {
    /// Docker's letter.
    pub fn letter(self) -> char {
        match self {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        }
    }
}

/// One changed path, absolute within the tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// How it changed.
    pub kind: ChangeKind,
    /// Which path, with a leading slash.
    pub path: PathBuf,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.letter(), self.path.display())
    }
}

/// A path that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("compare {}: {source}", .path.display())]
pub struct ChangesError {
    path: PathBuf,
    source: io::Error,
}

/// What `new` changes against `old`: parents before children, siblings by name. Parents of a change are listed as
/// modified, the root never.
pub fn changes(old: &Path, new: &Path) -> Result<Vec<Change>, ChangesError> {
    let mut found = Vec::new();
    compare_directories(Some(old), new, Path::new("/"), &mut found)?;
    Ok(found)
}

type Entries = BTreeMap<OsString, Metadata>;

fn compare_directories(
    old: Option<&Path>,
    new: &Path,
    shown: &Path,
    found: &mut Vec<Change>,
) -> Result<(), ChangesError> {
    let mut before = old.map(list).transpose()?.unwrap_or_default();
    let after = list(new)?;
    let names: Vec<OsString> =
        before.keys().chain(after.keys()).cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect();
    for name in names {
        let path = shown.join(&name);
        let old_meta = before.remove(&name);
        let Some(new_meta) = after.get(&name) else {
            found.push(Change { kind: ChangeKind::Deleted, path });
            continue;
        };
        let old_path = old.map(|old| old.join(&name));
        let new_path = new.join(&name);
        let kind = match (&old_meta, &old_path) {
            (None, _) | (_, None) => Some(ChangeKind::Added),
            (Some(old_meta), Some(old_path)) => {
                differ((old_path, old_meta), (&new_path, new_meta))?.then_some(ChangeKind::Modified)
            }
        };
        let place = found.len();
        found.extend(kind.map(|kind| Change { kind, path: path.clone() }));
        if new_meta.is_dir() {
            let old_directory = old_path.filter(|_| old_meta.is_some_and(|meta| meta.is_dir()));
            compare_directories(old_directory.as_deref(), &new_path, &path, found)?;
            if kind.is_none() && found.len() > place {
                found.insert(place, Change { kind: ChangeKind::Modified, path });
            }
        }
    }
    Ok(())
}

fn list(directory: &Path) -> Result<Entries, ChangesError> {
    let read = || -> io::Result<Entries> {
        fs::read_dir(directory)?
            .map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.metadata()?))))
            .collect()
    };
    read().map_err(|source| ChangesError { path: directory.to_owned(), source })
}

fn differ((old_path, old): (&Path, &Metadata), (new_path, new): (&Path, &Metadata)) -> Result<bool, ChangesError> {
    let identity = |meta: &Metadata| (meta.mode(), meta.uid(), meta.gid(), meta.rdev());
    let both_directories = old.is_dir() && new.is_dir();
    if identity(old) != identity(new) || (!both_directories && (old.len() != new.len() || !same_time(old, new))) {
        return Ok(true);
    }
    if !old.is_file() {
        return Ok(false);
    }
    Ok(capability(old_path)? != capability(new_path)?)
}

/// Nanoseconds count only where both sides have some: a layer's tar has none.
fn same_time(old: &Metadata, new: &Metadata) -> bool {
    let (a, b) = (old.mtime_nsec(), new.mtime_nsec());
    old.mtime() == new.mtime() && (a == b || a == 0 || b == 0)
}

fn capability(path: &Path) -> Result<Option<Vec<u8>>, ChangesError> {
    read_xattr(path, "security.capability").map_err(|source| ChangesError { path: path.to_owned(), source })
}

/// The value of an extended attribute of `path` itself; nothing where there is none or no such thing.
pub(super) fn read_xattr(path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 256];
    loop {
        match rustix::fs::lgetxattr(path, name, &mut value) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            Err(rustix::io::Errno::RANGE) => value.resize(value.len() * 16, 0),
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::time::{Duration, SystemTime};

    /// Two equal trees, the second changed by `change`; the lines that `docker diff` would show.
    fn diff(change: impl FnOnce(&Path)) -> Vec<String> {
        let trees = tempfile::tempdir().unwrap();
        let (old, new) = (trees.path().join("old"), trees.path().join("new"));
        for tree in [&old, &new] {
            fs::create_dir_all(tree.join("etc/conf.d")).unwrap();
            fs::create_dir_all(tree.join("empty")).unwrap();
            for (name, text) in [("etc/hosts", "localhost"), ("etc/conf.d/a", "1"), ("etc-release", "12")] {
                let path = tree.join(name);
                fs::write(&path, text).unwrap();
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
                fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            }
        }
        change(&new);
        let found = changes(&old, &new).unwrap();
        found.iter().map(Change::to_string).collect()
    }

    #[test]
    fn a_tree_does_not_differ_from_its_copy() {
        assert!(diff(|_| {}).is_empty());
    }

    #[test]
    fn every_kind_of_change_is_listed_below_its_parents() {
        let lines = diff(|tree| {
            fs::write(tree.join("etc/hosts"), "other").unwrap();
            fs::remove_file(tree.join("etc/conf.d/a")).unwrap();
            fs::create_dir(tree.join("new")).unwrap();
            fs::write(tree.join("new/file"), "").unwrap();
        });
        assert_eq!(lines, ["C /etc", "C /etc/conf.d", "D /etc/conf.d/a", "C /etc/hosts", "A /new", "A /new/file"]);
    }

    #[test]
    fn what_docker_does_not_see_is_not_seen() {
        let lines = diff(|tree| {
            // A directory's time, and a rewrite of the same length with the time put back.
            let path = tree.join("etc-release");
            let time = fs::metadata(&path).unwrap().modified().unwrap();
            fs::write(&path, "13").unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
            fs::remove_dir(tree.join("empty")).unwrap();
            fs::create_dir(tree.join("empty")).unwrap();
        });
        assert!(lines.is_empty(), "{lines:?}");
    }

    #[test]
    fn a_type_change_is_a_change_and_what_lay_below_is_not_told() {
        let lines = diff(|tree| {
            fs::remove_dir_all(tree.join("etc/conf.d")).unwrap();
            symlink("hosts", tree.join("etc/conf.d")).unwrap();
            fs::set_permissions(tree.join("empty"), fs::Permissions::from_mode(0o700)).unwrap();
        });
        assert_eq!(lines, ["C /empty", "C /etc", "C /etc/conf.d"]);
    }
}
