//! A directory tree that no path inside can lead out of, and operations on names in it.
//!
//! *Why*: checking a path and then using it as text lets a symlink slip in between. Here the kernel resolves every
//! path below one directory descriptor (`openat2` with `RESOLVE_IN_ROOT`: `..` stops at the root, absolute symlinks
//! start there), and what follows happens to a single name in the descriptor it gave back.
//!
//! *Never*: a name that is empty, `..` or holds a slash reaches an operation; `.` stands for the directory itself.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// How often a lookup that raced with a rename is tried again (openat2(2), EAGAIN).
const LOOKUP_ATTEMPTS: usize = 64;
/// The mode of parents that an entry needs but no entry describes.
const PARENT_MODE: u32 = 0o755;

/// The root of a tree.
pub(super) struct Root {
    fd: OwnedFd,
}

impl Root {
    pub(super) fn open(path: &Path) -> Result<Root, Errno> {
        let fd = fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Root { fd })
    }

    /// An existing directory, for use as a starting point only; symlinks are followed within the root.
    pub(super) fn directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.lookup(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// An existing directory itself: its last component must not be a symlink.
    pub(super) fn open_directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.lookup(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
    }

    /// An existing file, to read it; symlinks are followed within the root.
    pub(super) fn open_file(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.lookup(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)
    }

    /// Like [`Root::directory`], with missing components made, and each told.
    pub(super) fn directory_or_new(&self, path: &Path, made: &mut dyn FnMut(&Stat)) -> Result<OwnedFd, Errno> {
        match self.directory(path) {
            Err(Errno::NOENT) => {}
            found => return found,
        }
        let Some((parent, name)) = path.parent().zip(path.file_name()) else { return Err(Errno::NOENT) };
        let parent = self.directory_or_new(parent, made)?;
        fs::mkdirat(&parent, name, Mode::from_raw_mode(PARENT_MODE))?;
        let fd = open_real_directory(parent.as_fd(), name)?;
        fs::fchmod(&fd, Mode::from_raw_mode(PARENT_MODE))?;
        made(&fs::fstat(&fd)?);
        self.directory(path)
    }

    fn lookup(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 1..LOOKUP_ATTEMPTS {
            match fs::openat2(&self.fd, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
        Err(Errno::AGAIN)
    }
}

/// A directory entry opened for reading its names; never through a symlink.
pub(super) fn open_real_directory(parent: BorrowedFd<'_>, name: &OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

/// The names in a directory, sorted by their bytes.
pub(super) fn sorted_names(directory: BorrowedFd<'_>) -> Result<Vec<OsString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    names.sort();
    Ok(names)
}

/// What `name` is, without following it; `None` when there is nothing.
pub(super) fn stat(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Option<Stat>, Errno> {
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Removes `name` and all below it, telling `removed` of each entry before it goes.
pub(super) fn remove(directory: BorrowedFd<'_>, name: &OsStr, removed: &mut dyn FnMut(&Stat)) -> Result<(), Errno> {
    let Some(found) = stat(directory, name)? else { return Ok(()) };
    if file_type(&found) == FileType::Directory {
        let inside = open_real_directory(directory, name)?;
        for child in sorted_names(inside.as_fd())? {
            remove(inside.as_fd(), &child, removed)?;
        }
        removed(&found);
        return fs::unlinkat(directory, name, AtFlags::REMOVEDIR);
    }
    removed(&found);
    fs::unlinkat(directory, name, AtFlags::empty())
}

/// Access control lists (acl(5)): that of a file, and the one that what is made in a directory gets.
pub(super) const ACLS: [&str; 2] = ["system.posix_acl_access", DEFAULT_ACL];

/// The list that a directory hands down.
pub(super) const DEFAULT_ACL: &str = "system.posix_acl_default";

/// A path for the calls that know no descriptor (the xattr calls): `name` in `directory`, with nothing else to follow.
fn through_proc(directory: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)
}

/// Sets an xattr of `name` itself, symlink or not.
pub(super) fn set_xattr(directory: BorrowedFd<'_>, name: &OsStr, xattr: &[u8], value: &[u8]) -> Result<(), Errno> {
    fs::lsetxattr(through_proc(directory, name), OsStr::from_bytes(xattr), value, fs::XattrFlags::empty())
}

/// Takes an xattr of `name` itself away; what is gone already is no error.
pub(super) fn remove_xattr(directory: BorrowedFd<'_>, name: &OsStr, xattr: &str) -> Result<(), Errno> {
    match fs::lremovexattr(through_proc(directory, name), xattr) {
        Err(Errno::NODATA) => Ok(()),
        removed => removed,
    }
}

/// An xattr of `name` itself; `None` when it has none of that name or its file system keeps none.
pub(super) fn xattr(directory: BorrowedFd<'_>, name: &OsStr, xattr: &str) -> Result<Option<Vec<u8>>, Errno> {
    let path = through_proc(directory, name);
    value(|buffer| match buffer {
        None => fs::lgetxattr_query(&path, xattr),
        Some(buffer) => fs::lgetxattr(&path, xattr, buffer),
    })
}

/// An xattr of an open file, as [`xattr`].
pub(super) fn xattr_of(file: BorrowedFd<'_>, xattr: &str) -> Result<Option<Vec<u8>>, Errno> {
    value(|buffer| match buffer {
        None => fs::fgetxattr_query(file, xattr),
        Some(buffer) => fs::fgetxattr(file, xattr, buffer),
    })
}

/// What `get` puts into a buffer as long as it says without one.
fn value(get: impl Fn(Option<&mut [u8]>) -> Result<usize, Errno>) -> Result<Option<Vec<u8>>, Errno> {
    loop {
        let size = match get(None) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(None),
            size => size?,
        };
        let mut value = vec![0; size];
        match get(Some(&mut value)) {
            Err(Errno::RANGE) => {}
            Err(Errno::NODATA) => return Ok(None),
            length => {
                value.truncate(length?);
                return Ok(Some(value));
            }
        }
    }
}

/// The names of the xattrs of `name` itself; none when its file system keeps none.
pub(super) fn xattr_names(directory: BorrowedFd<'_>, name: &OsStr) -> Result<Vec<String>, Errno> {
    let path = through_proc(directory, name);
    loop {
        let size = match fs::llistxattr_query(&path) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            size => size?,
        };
        let mut list = vec![0; size];
        match fs::llistxattr(&path, list.as_mut_slice()) {
            Err(Errno::RANGE) => {}
            length => {
                list.truncate(length?);
                let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
                return Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect());
            }
        }
    }
}
