//! What `docker diff` shows: the difference of two mounted trees, found the way Docker finds it.
//!
//! Only what `lstat` tells is compared, never contents; so a file rewritten with its size and mtime kept is not seen.
//! The rules are those of Docker 20.10 for every storage driver (its "naive" comparison):
//!
//! - a name is modified when mode, uid, gid or device number differ, or, unless it is a directory, size or mtime;
//! - when the nanoseconds of either mtime are 0, as in every unpacked layer, seconds alone are compared;
//! - a differing `security.capability` is a modification, other xattrs are not looked at;
//! - every directory above a change is listed as modified, the root never;
//! - below a removed directory, and below one that became something else, nothing is listed.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::root;
use crate::sys::reason::reason;

/// The letter in front of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// `C`
    Modified,
    /// `A`
    Added,
    /// `D`
    Deleted,
}

impl ChangeKind {
    /// Docker's letter: `C`, `A` or `D`.
    pub fn letter(self) -> char {
        match self {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        }
    }
}

/// One line of `docker diff`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    /// Absolute, as seen from inside the tree.
    pub path: PathBuf,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.letter(), self.path.display())
    }
}

/// A tree that cannot be compared.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {} while comparing two trees: {}", path.display(), reason(.source))]
pub struct ChangesError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What makes the tree at `new` out of the tree at `old`, sorted by path, so that parents come before children.
///
/// Both are followed as they are mounted; a mount below `new` shows as what is mounted there.
pub fn changes(old: &Path, new: &Path) -> Result<Vec<Change>, ChangesError> {
    let open = |path: &Path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::open(path, flags, Mode::empty()).map_err(|errno| error("open", path, errno))
    };
    let mut found = Vec::new();
    compare_directories(Some(&open(old)?), &open(new)?, Path::new("/"), &mut found)?;
    Ok(found)
}

/// Compares what is inside two directories; without an old one everything is added.
fn compare_directories(
    old: Option<&OwnedFd>,
    new: &OwnedFd,
    path: &Path,
    found: &mut Vec<Change>,
) -> Result<(), ChangesError> {
    let list = |fd: &OwnedFd| root::sorted_names(fd.as_fd()).map_err(|errno| error("list", path, errno));
    let new_names = list(new)?;
    let mut names = old.map_or_else(|| Ok(Vec::new()), list)?;
    names.extend_from_slice(&new_names);
    names.sort();
    names.dedup();
    for name in names {
        compare_name(old, new, &name, &path.join(&name), found)?;
    }
    Ok(())
}

fn compare_name(
    old: Option<&OwnedFd>,
    new: &OwnedFd,
    name: &OsStr,
    path: &Path,
    found: &mut Vec<Change>,
) -> Result<(), ChangesError> {
    let look = |fd: &OwnedFd| root::stat(fd.as_fd(), name).map_err(|errno| error("look at", path, errno));
    let was = old.map_or(Ok(None), look)?;
    let is = look(new)?;
    let change = |kind| Change { kind, path: path.to_owned() };
    let Some(is) = is else {
        found.extend(was.map(|_| change(ChangeKind::Deleted)));
        return Ok(());
    };
    let at = found.len();
    let own = match (&was, old) {
        (Some(was), Some(old)) => is_modified(old, was, new, &is, name, path)?.then_some(ChangeKind::Modified),
        _ => Some(ChangeKind::Added),
    };
    found.extend(own.map(change));
    if root::file_type(&is) == FileType::Directory {
        let open =
            |fd: &OwnedFd| root::open_real_directory(fd.as_fd(), name).map_err(|errno| error("open", path, errno));
        let was_directory = was.is_some_and(|was| root::file_type(&was) == FileType::Directory);
        let old = old.filter(|_| was_directory).map(open).transpose()?;
        compare_directories(old.as_ref(), &open(new)?, path, found)?;
        if own.is_none() && found.len() > at {
            found.insert(at, change(ChangeKind::Modified));
        }
    }
    Ok(())
}

fn is_modified(
    old: &OwnedFd,
    was: &Stat,
    new: &OwnedFd,
    is: &Stat,
    name: &OsStr,
    path: &Path,
) -> Result<bool, ChangesError> {
    if stat_differs(was, is) {
        return Ok(true);
    }
    let capability = |fd: &OwnedFd| {
        root::xattr(fd.as_fd(), name, "security.capability")
            .map_err(|errno| error("read the capability of", path, errno))
    };
    Ok(capability(old)? != capability(new)?)
}

fn stat_differs(was: &Stat, is: &Stat) -> bool {
    let identity = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    identity(was) != identity(is) || (!passes_for_directory(is) && (was.st_size != is.st_size || !same_time(was, is)))
}

/// Docker tests the directory bit alone, which block devices and sockets have too.
fn passes_for_directory(stat: &Stat) -> bool {
    let directory_bit = FileType::Directory.as_raw_mode();
    stat.st_mode & directory_bit == directory_bit
}

fn same_time(was: &Stat, is: &Stat) -> bool {
    let nanoseconds_agree = was.st_mtime_nsec == is.st_mtime_nsec || was.st_mtime_nsec == 0 || is.st_mtime_nsec == 0;
    was.st_mtime == is.st_mtime && nanoseconds_agree
}

fn error(operation: &'static str, path: &Path, errno: Errno) -> ChangesError {
    ChangesError { operation, path: path.to_owned(), source: errno.into() }
}
