//! What `docker diff` shows: the difference of two mounted trees, found the way Docker finds it, and what Docker misses.
//!
//! The rules are those of Docker 20.10 for every storage driver (its "naive" comparison), which looks at what `lstat` tells:
//!
//! - a name is modified when mode, uid, gid or device number differ, or, unless it is a directory, size or mtime;
//! - when the nanoseconds of either mtime are 0, as in every unpacked layer, seconds alone are compared;
//! - a differing `security.capability` is a modification;
//! - every directory above a change is listed as modified, the root never for that;
//! - below a removed directory, and below one that became something else, nothing is listed.
//!
//! What changed without any of these is modified here, too: another content with the old size and mtime, other xattrs (those of security
//! modules aside, which are the host's), another mode or owner of the root, and a directory that took the place of another, where
//! [`Kinship`] tells it. The time of a directory is none, here as there: everything that comes and goes in it moves it.
//!
//! The cost follows the change: where an upper directory of an overlay tells which names can differ, no others are looked at. A directory
//! that the upper one does not have is the lower layers' and is never opened; of one that it has only the names there count, and
//! those that it hides. One that is opaque shows nothing of the lower layers, and one that was renamed (`redirect`, which an overlay leaves that another
//! engine mounted) shows what is elsewhere there: all in them is compared.
//!
//! *Proved by*: `engine/tests/candidates.rs` (drawn changes, compared with a comparison of everything), `engine/tests/layer/comparisons.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::links::Names;
use super::root;
use super::whiteout::{self, Meaning, OverlayXattr};
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

/// How a tree came of the one that it is compared with: what cannot have another content, and which directories are new ones.
#[derive(Debug, Clone, Copy)]
pub enum Kinship<'a> {
    /// Nobody knows, as of a copy: contents are compared, and a directory is what it was when it looks so.
    Unknown,
    /// It began as a snapshot: whatever has its old inode number and time of change (ctime) was not touched.
    Snapshot,
    /// Whatever is not in this upper directory of an overlay was not touched; directories that are new have this mark there.
    Upper(&'a Path, OverlayXattr),
    /// The same of an upper directory that began as a copy of a second one: a directory that has the mark there, too, is no new one.
    CopiedUpper(&'a Path, &'a Path, OverlayXattr),
}

/// What makes the tree at `new` out of the tree at `old`, sorted by path, so that parents come before children.
///
/// What an upper directory does not tell of is not looked at: the new tree has to be that directory right on the old one, or on what the one lies on of
/// which it is a copy. Both are followed as they are mounted; what somebody mounted below `new` is seen where it is looked at.
pub fn changes(old: &Path, new: &Path, kinship: Kinship<'_>) -> Result<Vec<Change>, ChangesError> {
    Ok(found(old, new, kinship, Looks { at_all: false, at_links: false })?.changes)
}

/// What [`changes`] finds, by a look at every name of both trees: whatever lies between them.
pub fn changes_of_all(old: &Path, new: &Path, kinship: Kinship<'_>) -> Result<Vec<Change>, ChangesError> {
    Ok(found(old, new, kinship, Looks { at_all: true, at_links: false })?.changes)
}

/// What [`changes`] finds, and which names besides have to be in a layer so that names of one file are so there.
pub fn changes_and_links(old: &Path, new: &Path, kinship: Kinship<'_>) -> Result<Vec<Change>, ChangesError> {
    let mut seen = found(old, new, kinship, Looks { at_all: false, at_links: true })?;
    if seen.links.may_have_others() {
        seen = found(old, new, kinship, Looks { at_all: true, at_links: true })?;
    }
    let Found { mut changes, links } = seen;
    links.tell(&mut changes);
    Ok(changes)
}

/// What [`changes_and_links`] finds, by a look at every name of both trees.
pub fn changes_and_links_of_all(old: &Path, new: &Path, kinship: Kinship<'_>) -> Result<Vec<Change>, ChangesError> {
    let Found { mut changes, links } = found(old, new, kinship, Looks { at_all: true, at_links: true })?;
    links.tell(&mut changes);
    Ok(changes)
}

/// What is looked at.
#[derive(Clone, Copy)]
struct Looks {
    /// Names that cannot differ, too.
    at_all: bool,
    /// Which file a name is of.
    at_links: bool,
}

/// What a comparison finds.
#[derive(Default)]
struct Found {
    changes: Vec<Change>,
    links: Names,
}

fn found(old: &Path, new: &Path, kinship: Kinship<'_>, looks: Looks) -> Result<Found, ChangesError> {
    let open = |path: &Path| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::open(path, flags, Mode::empty()).map_err(|errno| error("open", path, errno))
    };
    let traces = match kinship {
        Kinship::Unknown => Traces::Unknown,
        Kinship::Snapshot => Traces::Snapshot,
        Kinship::Upper(upper, marks) => Traces::Upper(open(upper)?, None, marks),
        Kinship::CopiedUpper(upper, copied, marks) => Traces::Upper(open(upper)?, Some(open(copied)?), marks),
    };
    let merging = traces.merging(Path::new("/"))?;
    let old = open(old)?;
    let old_names = match kinship {
        Kinship::Upper(_, marks) | Kinship::CopiedUpper(_, _, marks) if !is_stacked(&old) => marks,
        _ => OverlayXattr::None,
    };
    let looks = Looks { at_all: looks.at_all || merging != Merging::Plain, ..looks };
    let level = Level { old: Some(old), old_names, new: open(new)?, traces, looks };
    let root = Path::new("/");
    let mut found = Found::default();
    if level.is_root_modified()? {
        found.changes.push(Change { kind: ChangeKind::Modified, path: root.to_owned() });
    }
    level.compare(root, &mut found)?;
    Ok(found)
}

/// What [`Kinship`] says of one directory.
enum Traces {
    Unknown,
    Snapshot,
    /// It is in the upper directory too, and maybe in the one of which that is a copy.
    Upper(OwnedFd, Option<OwnedFd>, OverlayXattr),
    /// Nothing in it was touched.
    None,
}

/// What a directory of the upper one shows of what lies below it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merging {
    /// What has the same name there and is not hidden.
    Plain,
    /// Nothing.
    Opaque,
    /// What is elsewhere there.
    Elsewhere,
}

impl Traces {
    fn merging(&self, path: &Path) -> Result<Merging, ChangesError> {
        let Traces::Upper(upper, copied, marks) = self else { return Ok(Merging::Plain) };
        let mut found = Merging::Plain;
        for directory in [Some(upper), copied.as_ref()].into_iter().flatten() {
            let fail = |errno| error("read the marks of the upper directory of", path, errno);
            let xattrs = root::xattr_names(directory.as_fd(), OsStr::new(".")).map_err(fail)?;
            if xattrs.iter().any(|xattr| whiteout::is_redirect(xattr)) {
                return Ok(Merging::Elsewhere);
            }
            let has_file = || Ok(root::stat(directory.as_fd(), OsStr::new(whiteout::OPAQUE)).map_err(fail)?.is_some());
            if xattrs.iter().any(|xattr| whiteout::makes_opaque(xattr)) || (marks.has_files() && has_file()?) {
                found = Merging::Opaque;
            }
        }
        Ok(found)
    }

    /// The names that can differ in a directory that merges plainly; nothing where any can.
    fn candidates(&self, path: &Path) -> Result<Option<BTreeSet<OsString>>, ChangesError> {
        let (upper, copied, marks) = match self {
            Traces::Unknown | Traces::Snapshot => return Ok(None),
            Traces::None => return Ok(Some(BTreeSet::new())),
            Traces::Upper(upper, copied, marks) => (upper, copied, marks),
        };
        let mut names = BTreeSet::new();
        for directory in [Some(upper), copied.as_ref()].into_iter().flatten() {
            let listed = root::sorted_names(directory.as_fd());
            for name in listed.map_err(|errno| error("list the upper directory of", path, errno))? {
                if marks.has_files()
                    && let Meaning::Whiteout(hidden) = whiteout::meaning(&name)
                {
                    names.insert(hidden.to_owned());
                }
                names.insert(name);
            }
        }
        Ok(Some(names))
    }
}

/// Where a name is listed: what is not is not there, though a file system find it when it is asked for the name (fuse-overlayfs 1.10 finds
/// what was in a directory that another has taken the place of).
#[derive(Default, Clone, Copy)]
struct Listed {
    in_old: bool,
    /// What it is listed as.
    in_new: Option<FileType>,
}

impl Listed {
    /// What a name is that only has to be told, if its listing says so: a device may stand for nothing at all there, and of names of several
    /// files more has to be known.
    fn is_added_as(self, looks: Looks) -> Option<FileType> {
        self.in_new.filter(|kind| {
            !self.in_old && !looks.at_links && !matches!(kind, FileType::CharacterDevice | FileType::Unknown)
        })
    }
}

/// The names in a directory, and what they are.
fn list(directory: &OwnedFd) -> Result<Vec<(OsString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((OsString::from_vec(name.to_vec()), entry.file_type()));
        }
    }
    Ok(names)
}

/// One directory of both trees.
struct Level {
    /// None where everything is added.
    old: Option<OwnedFd>,
    /// How the xattrs of the old one are called: it may be a single layer, as it lies there, when the new one lies on it.
    old_names: OverlayXattr,
    new: OwnedFd,
    traces: Traces,
    looks: Looks,
}

impl Level {
    fn compare(&self, path: &Path, found: &mut Found) -> Result<(), ChangesError> {
        let candidates = match self.old.is_some() && !self.looks.at_all {
            true => self.traces.candidates(path)?,
            false => None,
        };
        if candidates.as_ref().is_some_and(BTreeSet::is_empty) {
            return Ok(());
        }
        let list = |fd: &OwnedFd| list(fd).map_err(|errno| error("list", path, errno));
        let mut names: BTreeMap<OsString, Listed> = BTreeMap::new();
        for (name, _) in self.old.as_ref().map_or_else(|| Ok(Vec::new()), list)? {
            names.entry(name).or_default().in_old = true;
        }
        for (name, kind) in list(&self.new)? {
            names.entry(name).or_default().in_new = Some(kind);
        }
        if let Some(candidates) = candidates {
            names.retain(|name, _| candidates.contains(name));
        }
        for (name, listed) in names {
            self.compare_name(&name, listed, &path.join(&name), found)?;
        }
        Ok(())
    }

    fn compare_name(&self, name: &OsStr, listed: Listed, path: &Path, found: &mut Found) -> Result<(), ChangesError> {
        let look = |fd: &OwnedFd| root::stat(fd.as_fd(), name).map_err(|errno| error("look at", path, errno));
        let change = |kind| Change { kind, path: path.to_owned() };
        if let Some(kind) = listed.is_added_as(self.looks) {
            found.changes.push(change(ChangeKind::Added));
            return match kind {
                FileType::Directory => self.inside(name, false, path)?.compare(path, found),
                _ => Ok(()),
            };
        }
        let was = self.old.as_ref().filter(|_| listed.in_old).map_or(Ok(None), look)?;
        let is = if listed.in_new.is_some() { look(&self.new)? } else { None };
        let Some(is) = is else {
            found.changes.extend(was.map(|_| change(ChangeKind::Deleted)));
            return Ok(());
        };
        let at = found.changes.len();
        let own = match (&was, &self.old) {
            (Some(was), Some(old)) => self.is_modified(old, was, &is, name, path)?.then_some(ChangeKind::Modified),
            _ => Some(ChangeKind::Added),
        };
        found.changes.extend(own.map(change));
        let is_directory = |stat: &Stat| root::file_type(stat) == FileType::Directory;
        if !is_directory(&is) {
            found.links.note(path, was.as_ref().filter(|was| !is_directory(was)), &is, own.is_some());
        } else {
            let was_directory = was.as_ref().is_some_and(is_directory);
            self.inside(name, was_directory, path)?.compare(path, found)?;
            if own.is_none() && found.changes.len() > at {
                found.changes.insert(at, change(ChangeKind::Modified));
            }
        }
        Ok(())
    }

    /// The directory `name`.
    fn inside(&self, name: &OsStr, was_directory: bool, path: &Path) -> Result<Level, ChangesError> {
        let open =
            |fd: &OwnedFd| root::open_real_directory(fd.as_fd(), name).map_err(|errno| error("open", path, errno));
        let traces = match &self.traces {
            // All in it is added, whoever made it.
            _ if !was_directory => Traces::None,
            Traces::Unknown => Traces::Unknown,
            Traces::Snapshot => Traces::Snapshot,
            Traces::None => Traces::None,
            Traces::Upper(upper, copied, marks) => {
                let inside = |upper: &OwnedFd| match root::open_real_directory(upper.as_fd(), name) {
                    Ok(inside) => Ok(Some(inside)),
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
                    Err(errno) => Err(error("open the upper directory of", path, errno)),
                };
                let copied = copied.as_ref().map_or(Ok(None), inside)?;
                match (inside(upper)?, copied) {
                    (Some(upper), copied) => Traces::Upper(upper, copied, *marks),
                    (None, None) => Traces::None,
                    (None, Some(_)) => Traces::Unknown,
                }
            }
        };
        let merging = traces.merging(path)?;
        let traces = if merging == Merging::Elsewhere { Traces::Unknown } else { traces };
        let looks = Looks { at_all: self.looks.at_all || merging == Merging::Opaque, ..self.looks };
        let old = self.old.as_ref().filter(|_| was_directory).map(open).transpose()?;
        Ok(Level { old, old_names: self.old_names, new: open(&self.new)?, traces, looks })
    }

    fn is_modified(
        &self,
        old: &OwnedFd,
        was: &Stat,
        is: &Stat,
        name: &OsStr,
        path: &Path,
    ) -> Result<bool, ChangesError> {
        if stat_differs(was, is) || self.xattrs_differ(old, name, path)? {
            return Ok(true);
        }
        match root::file_type(is) {
            FileType::RegularFile if self.may_be_another(was, is, name, path)? => {
                let open = |fd: &OwnedFd| {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                    fs::openat(fd, name, flags, Mode::empty()).map(File::from)
                };
                let differ = open(old).and_then(|old| Ok((old, open(&self.new)?))).map_err(io::Error::from);
                let differ = differ.and_then(|(old, new)| contents_differ(&old, &new, is.st_size.unsigned_abs()));
                differ.map_err(|source| ChangesError { operation: "read", path: path.to_owned(), source })
            }
            FileType::Directory => self.is_another_directory(was, is, name, path),
            _ => Ok(false),
        }
    }

    fn xattrs_differ(&self, old: &OwnedFd, name: &OsStr, path: &Path) -> Result<bool, ChangesError> {
        Ok(xattrs(old, self.old_names, name, path)? != xattrs(&self.new, OverlayXattr::None, name, path)?)
    }

    /// Whether a file may have another content, though all that lstat(2) tells is the same.
    fn may_be_another(&self, was: &Stat, is: &Stat, name: &OsStr, path: &Path) -> Result<bool, ChangesError> {
        let is_one_file = (was.st_dev, was.st_ino) == (is.st_dev, is.st_ino);
        let changed = |stat: &Stat| (stat.st_ino, stat.st_ctime, stat.st_ctime_nsec);
        Ok(!is_one_file
            && match &self.traces {
                Traces::Unknown => true,
                Traces::Snapshot => changed(was) != changed(is),
                Traces::None => false,
                Traces::Upper(upper, ..) => {
                    let found = root::stat(upper.as_fd(), name);
                    found.map_err(|errno| error("look in the upper directory for", path, errno))?.is_some()
                }
            })
    }

    fn is_another_directory(&self, was: &Stat, is: &Stat, name: &OsStr, path: &Path) -> Result<bool, ChangesError> {
        match &self.traces {
            Traces::Unknown | Traces::None => Ok(false),
            Traces::Snapshot => Ok(was.st_ino != is.st_ino),
            Traces::Upper(upper, copied, marks) => {
                let is_opaque = |upper: &OwnedFd| match marks.is_opaque(upper.as_fd(), name) {
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
                    is_opaque => is_opaque.map_err(|errno| error("look in the upper directory for", path, errno)),
                };
                Ok(is_opaque(upper)? && !copied.as_ref().map_or(Ok(false), is_opaque)?)
            }
        }
    }

    /// The root has no name that could be compared, and no time that counts.
    fn is_root_modified(&self) -> Result<bool, ChangesError> {
        let (path, here) = (Path::new("/"), OsStr::new("."));
        let Some(old) = &self.old else { return Ok(false) };
        let stat = |fd: &OwnedFd| fs::fstat(fd).map_err(|errno| error("look at", path, errno));
        Ok(stat_differs(&stat(old)?, &stat(&self.new)?) || self.xattrs_differ(old, here, path)?)
    }
}

/// Whether this is what the kernel or the program fuse-overlayfs shows of several layers (`statfs(2)`, `f_type`).
fn is_stacked(tree: &OwnedFd) -> bool {
    fs::fstatfs(tree).is_ok_and(|found| matches!(found.f_type, 0x794c_7630 | 0x6573_5546))
}

/// The xattrs that count, by the names that a file shows: an overlay's own marks are none of the tree's, and of those that security modules of the
/// host give, only capabilities are somebody's wish.
fn xattrs(
    directory: &OwnedFd,
    names: OverlayXattr,
    name: &OsStr,
    path: &Path,
) -> Result<BTreeMap<String, Vec<u8>>, ChangesError> {
    let fail = |errno| error("read the xattrs of", path, errno);
    let mut found = BTreeMap::new();
    for xattr in root::xattr_names(directory.as_fd(), name).map_err(fail)? {
        let is_the_hosts = xattr.starts_with("security.") && xattr != "security.capability";
        if !is_the_hosts && let Some(shown) = names.shown(&xattr) {
            let value = root::xattr(directory.as_fd(), name, &xattr).map_err(fail)?;
            found.extend(value.map(|value| (shown.into_owned(), value)));
        }
    }
    Ok(found)
}

/// Compares two files of `size_bytes` bytes, but for what is a hole in both.
fn contents_differ(old: &File, new: &File, size_bytes: u64) -> io::Result<bool> {
    let data = |file: &File, at: u64| match fs::seek(file, fs::SeekFrom::Data(at)) {
        Ok(data) => data,
        Err(Errno::NXIO) => size_bytes,
        Err(_) => at,
    };
    let (mut buffers, mut at) = ([vec![0; 64 << 10], vec![0; 64 << 10]], 0);
    loop {
        at = data(old, at).min(data(new, at));
        let length = usize::try_from(size_bytes.saturating_sub(at)).unwrap_or(usize::MAX).min(buffers[0].len());
        if length == 0 {
            return Ok(false);
        }
        for (file, buffer) in [old, new].into_iter().zip(&mut buffers) {
            match file.read_exact_at(&mut buffer[..length], at) {
                // Somebody makes it shorter just now.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
                read => read?,
            }
        }
        if buffers[0][..length] != buffers[1][..length] {
            return Ok(true);
        }
        at += length as u64;
    }
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
