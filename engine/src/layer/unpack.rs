//! A layer's tar as a directory that an overlay can stack.
//!
//! The tar is not trusted: every path, the targets of hard links and the parents of whiteouts included, is resolved inside
//! the root (`openat2`, `RESOLVE_IN_ROOT`), so that no `..`, no absolute name and no link leads outside.
//! Rules: OCI image-spec, `layer.md`; attributes in the order that keeps them all: owner, mode, extended attributes, time.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, linkat,
    makedev, mkdirat, mknodat, openat, symlinkat, unlinkat, utimensat,
};
use tar::{Entry, EntryType};

use super::{METADATA, OPAQUE, OverlayXattr, PAX_XATTR, WHITEOUT};
use crate::sys::root::Root;

/// What becomes of the owners that a tar records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// They are given to the files; an owner that is not mapped here is an error.
    AsRecorded,
    /// All files stay the caller's; how many lost another owner is counted.
    CallerOnly,
}

/// How a layer is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackOptions {
    /// How opaque directories are marked.
    pub overlay: OverlayXattr,
    /// What becomes of owners.
    pub owners: Owners,
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Bytes of the regular files, Docker's `size` of a layer.
    pub size_bytes: u64,
    /// How many entries there were.
    pub entries: u64,
    /// Entries whose owner was not the caller and is lost.
    pub owners_lost: u64,
}

/// Why a layer could not be unpacked. What is there of it is the caller's to remove.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The stream is no tar, or not all of one.
    #[error("cannot read the layer's tar: {0}")]
    Tar(io::Error),
    /// A name that leads out of the layer.
    #[error("invalid layer: the entry {0:?} leads out of the layer")]
    Breakout(PathBuf),
    /// A kind of entry that no layer may have.
    #[error("invalid layer: the entry {path:?} has the unknown type {kind:?}")]
    UnknownType { path: PathBuf, kind: char },
    /// An owner without a number in this user namespace.
    #[error(
        "the layer's {path:?} belongs to {uid}:{gid}, which is not mapped here: install uidmap (newuidmap, newgidmap) and give \
         your user a range in /etc/subuid and /etc/subgid, or pass --squash-owners to own every file yourself"
    )]
    UnmappedOwner { path: PathBuf, uid: u64, gid: u64 },
    /// A device that may not be made here.
    #[error("the layer's device {path:?} cannot be made by an ordinary user: run as root")]
    Device { path: PathBuf },
    /// A system call failed.
    #[error("{operation} {path:?} of the layer: {source}")]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
}

fn failed<E: Into<io::Error>>(operation: &'static str, path: &Path) -> impl FnOnce(E) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Io { operation, path, source: source.into() }
}

/// Unpacks the uncompressed layer `tar` into the directory `root`, and reads the stream to its end.
pub fn unpack(tar: impl Read, root: &Path, options: &UnpackOptions) -> Result<Unpacked, UnpackError> {
    let tree = Root::open(root).map_err(failed("open", root))?;
    let mut unpacker = Unpacker { tree, options, directories: Vec::new(), done: Unpacked::default() };
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().map_err(UnpackError::Tar)? {
        unpacker.add(entry.map_err(UnpackError::Tar)?)?;
    }
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(UnpackError::Tar)?;
    unpacker.finish()
}

struct Unpacker<'a> {
    tree: Root,
    options: &'a UnpackOptions,
    /// Directories and their times, which are set last: what is made in them changes them.
    directories: Vec<(PathBuf, Timespec)>,
    done: Unpacked,
}

/// Where an entry goes: its open parent directory and its name there.
struct Place {
    path: PathBuf,
    parent: OwnedFd,
    name: Box<OsStr>,
}

impl Place {
    /// A path by which calls reach the entry itself that know no directory handles.
    fn by_handle(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.parent.as_raw_fd())).join(&*self.name)
    }
}

impl Unpacker<'_> {
    fn add(&mut self, mut entry: Entry<impl Read>) -> Result<(), UnpackError> {
        let path = inside(Path::new(OsStr::from_bytes(&entry.path_bytes())))?;
        self.done.entries += 1;
        let Some(name) = path.file_name().map(OsStr::to_owned) else { return self.set_root(&mut entry) };
        let parent_path = path.parent().unwrap_or(Path::new(""));
        let parent = self.tree.create_dir_all(parent_path).map_err(failed("create the directory of", &path))?;
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT.as_bytes()) {
            let place = Place { parent, name: OsStr::from_bytes(hidden).into(), path };
            return self.hide(place, &name, &entry);
        }
        let place = Place { parent, name: name.into_boxed_os_str(), path };
        self.make_room(&place, entry.header().entry_type() == EntryType::Directory)?;
        self.create(&place, &mut entry)
    }

    /// The entry of the layer's root: only attributes, no name.
    fn set_root(&mut self, entry: &mut Entry<impl Read>) -> Result<(), UnpackError> {
        let open =
            |flags| self.tree.open_at(Path::new("."), flags, Mode::empty()).map_err(failed("open", Path::new("/")));
        let place = Place {
            path: PathBuf::new(),
            parent: open(OFlags::PATH | OFlags::DIRECTORY)?,
            name: OsStr::new(".").into(),
        };
        self.set_attributes(&place, entry)
    }

    /// Whiteouts: an empty device 0:0 in place of the hidden name, or a mark on the directory.
    fn hide(&mut self, place: Place, name: &OsStr, entry: &Entry<impl Read>) -> Result<(), UnpackError> {
        if name == OPAQUE {
            let directory = PathBuf::from(format!("/proc/self/fd/{}", place.parent.as_raw_fd()));
            let marked = rustix::fs::setxattr(directory, self.options.overlay.opaque(), b"y", XattrFlags::empty());
            return marked.map_err(failed("mark as opaque the directory of", &place.path));
        }
        if name.as_bytes().starts_with(METADATA.as_bytes()) {
            return Ok(());
        }
        if place.name.is_empty() || &*place.name == "." || &*place.name == ".." {
            return Err(UnpackError::Breakout(place.path));
        }
        self.make_room(&place, false)?;
        let made = mknodat(&place.parent, &*place.name, FileType::CharacterDevice, Mode::empty(), 0);
        made.map_err(failed("make the whiteout", &place.path))?;
        self.set_owner(&place, entry)
    }

    /// Removes what an earlier entry of the same layer put in this place; a directory under a directory stays.
    fn make_room(&self, place: &Place, for_directory: bool) -> Result<(), UnpackError> {
        let found = match rustix::fs::statat(&place.parent, &*place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(()),
            other => other.map_err(failed("look at", &place.path))?,
        };
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        if is_directory && for_directory {
            return Ok(());
        }
        let removed = if is_directory {
            std::fs::remove_dir_all(place.by_handle())
        } else {
            unlinkat(&place.parent, &*place.name, AtFlags::empty()).map_err(io::Error::from)
        };
        removed.map_err(failed("replace", &place.path))
    }

    fn create(&mut self, place: &Place, entry: &mut Entry<impl Read>) -> Result<(), UnpackError> {
        let (parent, name, path) = (place.parent.as_fd(), &*place.name, place.path.as_path());
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => self.create_file(place, entry)?,
            EntryType::Directory => match mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(errno) => return Err(failed("create", path)(errno)),
            },
            EntryType::Symlink => {
                let target = link_target(entry, path)?;
                symlinkat(OsStr::from_bytes(&target), parent, name).map_err(failed("make the symbolic link", path))?;
            }
            EntryType::Link => return self.create_link(place, entry),
            EntryType::Fifo => mknodat(parent, name, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                .map_err(failed("make the fifo", path))?,
            kind @ (EntryType::Char | EntryType::Block) => {
                let number =
                    |part: io::Result<Option<u32>>| part.map_err(UnpackError::Tar).map(Option::unwrap_or_default);
                let device = makedev(number(entry.header().device_major())?, number(entry.header().device_minor())?);
                let kind = if kind == EntryType::Char { FileType::CharacterDevice } else { FileType::BlockDevice };
                match mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device) {
                    Err(rustix::io::Errno::PERM) => return Err(UnpackError::Device { path: path.to_owned() }),
                    made => made.map_err(failed("make the device", path))?,
                }
            }
            // A global PAX header describes the archive and not a file.
            EntryType::XGlobalHeader => return Ok(()),
            other => return Err(UnpackError::UnknownType { path: path.to_owned(), kind: char::from(other.as_byte()) }),
        }
        self.set_attributes(place, entry)
    }

    fn create_file(&mut self, place: &Place, entry: &mut Entry<impl Read>) -> Result<(), UnpackError> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&place.parent, &*place.name, flags, Mode::from_raw_mode(0o600))
            .map_err(failed("create", &place.path))?;
        let expected = entry.size();
        let written = io::copy(entry, &mut File::from(file)).map_err(failed("write", &place.path))?;
        if written != expected {
            return Err(UnpackError::Tar(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{:?} is cut off", place.path),
            )));
        }
        self.done.size_bytes += written;
        Ok(())
    }

    /// A further name of a file of this layer; its attributes are that file's.
    fn create_link(&self, place: &Place, entry: &Entry<impl Read>) -> Result<(), UnpackError> {
        let target = link_target(entry, &place.path)?;
        let target = inside(Path::new(OsStr::from_bytes(&target)))?;
        let name = target.file_name().ok_or_else(|| UnpackError::Breakout(target.clone()))?;
        let directory = target.parent().unwrap_or(Path::new(""));
        let from = self
            .tree
            .open_at(directory, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
            .map_err(failed("find the link target of", &place.path))?;
        linkat(&from, name, &place.parent, &*place.name, AtFlags::empty())
            .map_err(failed("make the hard link", &place.path))
    }

    fn set_owner(&mut self, place: &Place, entry: &Entry<impl Read>) -> Result<(), UnpackError> {
        let (uid, gid) =
            (entry.header().uid().map_err(UnpackError::Tar)?, entry.header().gid().map_err(UnpackError::Tar)?);
        if self.options.owners == Owners::CallerOnly {
            self.done.owners_lost += u64::from((uid, gid) != (0, 0));
            return Ok(());
        }
        let unmapped = || UnpackError::UnmappedOwner { path: place.path.clone(), uid, gid };
        // The largest number is the one that chown(2) takes for "leave it".
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or_else(unmapped);
        let (user, group) = (Uid::from_raw(id(uid)?), Gid::from_raw(id(gid)?));
        match chownat(&place.parent, &*place.name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => Err(unmapped()),
            other => other.map_err(failed("chown", &place.path)),
        }
    }

    fn set_attributes(&mut self, place: &Place, entry: &mut Entry<impl Read>) -> Result<(), UnpackError> {
        self.set_owner(place, entry)?;
        let kind = entry.header().entry_type();
        if kind != EntryType::Symlink {
            let mode = Mode::from_raw_mode(entry.header().mode().map_err(UnpackError::Tar)? & 0o7777);
            chmodat(&place.parent, &*place.name, mode, AtFlags::empty()).map_err(failed("chmod", &place.path))?;
        }
        let mut time = Timespec { tv_sec: entry.header().mtime().map_err(UnpackError::Tar)? as i64, tv_nsec: 0 };
        for record in entry.pax_extensions().map_err(UnpackError::Tar)?.into_iter().flatten() {
            let record = record.map_err(UnpackError::Tar)?;
            let key = record.key_bytes();
            if key == b"mtime" {
                time = pax_time(record.value_bytes()).unwrap_or(time);
            } else if let Some(name) = key.strip_prefix(PAX_XATTR.as_bytes()) {
                set_xattr(place, OsStr::from_bytes(name), record.value_bytes())?;
            }
        }
        if kind == EntryType::Directory {
            self.directories.push((place.path.clone(), time));
            return Ok(());
        }
        set_time(place.parent.as_fd(), &place.name, time).map_err(failed("set the time of", &place.path))
    }

    fn finish(self) -> Result<Unpacked, UnpackError> {
        // The last entry of a directory counts; one that was replaced since is gone.
        for (path, time) in self.directories {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            let Ok(directory) = self.tree.open_at(&path, flags, Mode::empty()) else { continue };
            set_time(directory.as_fd(), OsStr::new("."), time).map_err(failed("set the time of", &path))?;
        }
        Ok(self.done)
    }
}

/// A path relative to the root, without `.`; one that climbs out is refused (inside, links cannot climb out either).
fn inside(path: &Path) -> Result<PathBuf, UnpackError> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir if !clean.pop() => return Err(UnpackError::Breakout(path.to_owned())),
            Component::ParentDir | Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

fn link_target(entry: &Entry<impl Read>, path: &Path) -> Result<Vec<u8>, UnpackError> {
    let target = entry.link_name_bytes().map(|target| target.into_owned()).filter(|target| !target.is_empty());
    target.ok_or_else(|| failed("read the link target of", path)(io::Error::from(io::ErrorKind::InvalidData)))
}

/// Sets one extended attribute. overlayfs's own are left out: in a layer they could point a directory anywhere.
fn set_xattr(place: &Place, name: &OsStr, value: &[u8]) -> Result<(), UnpackError> {
    if name.as_bytes().starts_with(b"trusted.overlay.") || name.as_bytes().starts_with(b"user.overlay.") {
        return Ok(());
    }
    match rustix::fs::lsetxattr(place.by_handle(), name, value, XattrFlags::empty()) {
        // The file system knows no such attributes; dockerd goes on too.
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
        Err(errno) => Err(failed("set an extended attribute of", &place.path)(errno)),
    }
}

fn set_time(directory: impl AsFd, name: &OsStr, time: Timespec) -> rustix::io::Result<()> {
    let times = Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: time };
    utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW)
}

/// Seconds with a fraction, as PAX writes times; nothing when it is no number.
fn pax_time(text: &[u8]) -> Option<Timespec> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nanoseconds: i64 = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
    let whole: i64 = seconds.parse().ok()?;
    Some(if seconds.starts_with('-') && nanoseconds > 0 {
        Timespec { tv_sec: whole - 1, tv_nsec: 1_000_000_000 - nanoseconds }
    } else {
        Timespec { tv_sec: whole, tv_nsec: nanoseconds }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_and_with_fractions_are_understood() {
        let time = |text: &str| pax_time(text.as_bytes()).map(|time| (time.tv_sec, time.tv_nsec));
        assert_eq!(time("12.5"), Some((12, 500_000_000)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("7.1234567891"), Some((7, 123_456_789)));
        assert_eq!(time("soon"), None);
    }

    #[test]
    fn names_are_cleaned_and_none_climbs_out() {
        assert_eq!(inside(Path::new("/./a/../b")).unwrap(), Path::new("b"));
        assert_eq!(inside(Path::new("./")).unwrap(), Path::new(""));
        assert!(inside(Path::new("a/../../etc")).is_err());
    }
}
