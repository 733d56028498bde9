//! Unpacks a tar, a layer's or any other, into a directory, inside which everything stays.
//!
//! *Why*: each refusal here has a CVE or a lost file behind it; `engine/tests/layer/hostile_tars.rs` lists them.
//!
//! *Holds*: owners come before modes and xattrs (a chown clears setuid bits and capabilities), directories' modes and
//! times come last, an entry replaces what stands at its name and never writes through it. Only a layer's whiteouts hide
//! anything, and only a layer may not name a path twice: whoever packs other files calls them what he likes.
//!
//! *Never*: an xattr of a tar is a mark for whatever stacks layers; an error leaves a layer that looks complete: what was
//! unpacked so far is the caller's to remove.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::archive::{Archive, Entry, Kind, Time};
use super::root::{self, Root};
use super::whiteout::{self, Hides, Meaning, OverlayXattr};

mod error;

pub use error::UnpackError;
use error::io_error;

/// Who owns what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// The recorded owners; one that this user namespace does not map is an error.
    AsRecorded,
    /// The recorded owners where this user may give them, the caller's otherwise (counted).
    SquashUnmapped,
    /// The caller, whatever is recorded (counted).
    CallerOnly,
    /// This user and this group, whatever is recorded; one that this user namespace does not map is an error.
    Given { uid: u32, gid: u32 },
}

/// What a tar holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// A layer: each path once, and names that begin with `.wh.` hide others. Whatever stands at a name is replaced.
    Layer,
    /// Files of any archive: the last entry of a name counts. Whatever stands at a name is replaced, the root stays as it is.
    Files,
    /// Files that come beside those that are there, as `docker cp` carries them: like `Files`, but no directory is replaced
    /// by something else, and nothing else by a directory.
    Copies,
}

/// How to unpack.
#[derive(Debug, Clone, Copy)]
pub struct UnpackOptions {
    pub contents: Contents,
    /// Where opaque marks go, and what must be none: as the layer will be mounted. `None` for what is unpacked into a tree as it is seen.
    pub overlay: OverlayXattr,
    pub owners: Owners,
}

/// What was unpacked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Docker's layer size: the lengths of files (hard links once) and of symlink targets.
    pub size_bytes: u64,
    /// The lengths that the headers tell: of files alone, those that a later entry replaced and whiteouts with something in them included.
    pub told_bytes: u64,
    /// Entries in the tar, whiteouts included.
    pub entries: u64,
    /// The directories of a layer that no entry is about, but those that took the place of something: where they lie in the root, which may be
    /// one itself.
    pub unnamed: Vec<PathBuf>,
    /// Entries that have another owner than the one recorded.
    pub owners_lost: u64,
    /// Xattrs that the file system or the lack of privilege refused, as Docker lets pass, or that the storage driver cannot keep.
    pub xattrs_lost: u64,
}

/// Applies an uncompressed tar to the directory `root` (empty, for a layer) and reads `tar` to its very end.
///
/// Source: OCI image-spec, `layer.md`, "Applying Changesets"; corner cases as in Docker 20.10.
pub fn unpack(tar: impl Read, root: &Path, options: &UnpackOptions) -> Result<Unpacked, UnpackError> {
    unpack_archive(Archive::new(tar), root, options)
}

/// Does what [`unpack`] does, and writes to `record` what is needed to get the same tar back
/// ([`super::tar_split::assemble`]).
pub fn unpack_recording(
    tar: impl Read,
    root: &Path,
    options: &UnpackOptions,
    record: impl Write,
) -> Result<Unpacked, UnpackError> {
    unpack_archive(Archive::recorded(tar, record), root, options)
}

fn unpack_archive(
    mut archive: Archive<'_, impl Read>,
    root: &Path,
    options: &UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let opened = Root::open(root).map_err(|errno| io_error("open the root directory", root, errno))?;
    let mut layer = Layer {
        root: opened,
        options: *options,
        names: HashSet::new(),
        directories: HashMap::new(),
        implied: HashSet::new(),
        replaced: HashSet::new(),
        done: Unpacked::default(),
    };
    while let Some(entry) = archive.next_entry()? {
        layer.apply(&entry, &mut archive)?;
    }
    archive.finish_record()?;
    if options.contents == Contents::Layer {
        layer.find_unnamed()?;
    }
    layer.finish_directories()?;
    Ok(layer.done)
}

struct Layer {
    root: Root,
    options: UnpackOptions,
    names: HashSet<Vec<u8>>,
    directories: HashMap<Inode, LateAttributes>,
    /// Directories that were made since something was to lie in them.
    implied: HashSet<Inode>,
    /// Those of them that took the place of something.
    replaced: HashSet<Inode>,
    done: Unpacked,
}

type Inode = (u64, u64);

/// What a directory gets when all its contents are there: a mode may forbid writing, each write moves the mtime, and a default access
/// control list would be handed down to what is made in it.
struct LateAttributes {
    path: PathBuf,
    mode: u32,
    mtime: Time,
    default_acl: Option<Vec<u8>>,
}

/// Where an entry goes: a name in an open directory. The root itself is `.` in itself.
struct Place<'a> {
    directory: OwnedFd,
    name: &'a OsStr,
    path: &'a Path,
}

impl Place<'_> {
    fn error(&self, operation: &'static str) -> impl FnOnce(Errno) -> UnpackError {
        let path = self.path.to_owned();
        move |errno| io_error(operation, &path, errno)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Layer {
    fn apply(&mut self, entry: &Entry, archive: &mut Archive<'_, impl Read>) -> Result<(), UnpackError> {
        self.done.entries += 1;
        if entry.kind == Kind::File {
            self.done.told_bytes += entry.size_bytes;
        }
        let path = clean(&entry.name).ok_or_else(|| UnpackError::Escapes { name: lossy(&entry.name) })?;
        let Some(name) = path.file_name() else { return self.apply_root(entry, &path) };
        if self.options.contents != Contents::Layer {
            let place = self.place(&path, name)?;
            return self.make(entry, &place, archive);
        }
        self.note_name(&entry.name, &path)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        if parent.components().any(|part| whiteout::meaning(part.as_os_str()) == Meaning::AufsMetadata) {
            return Ok(());
        }
        match whiteout::meaning(name) {
            Meaning::AufsMetadata => Ok(()),
            Meaning::Nonsense => Err(UnpackError::EmptyWhiteout { name: lossy(&entry.name) }),
            Meaning::Opaque if self.options.overlay.has_files() => {
                let place = self.place(&path, name)?;
                self.make(entry, &place, archive)
            }
            Meaning::Opaque => {
                let place = self.place(parent, OsStr::new("."))?;
                self.mark_opaque(&place)
            }
            Meaning::Whiteout(hidden) => {
                let hidden_path = parent.join(hidden);
                let place = self.place(&hidden_path, hidden)?;
                if !self.options.overlay.has_files() || whiteout::file_name(hidden).is_none() {
                    return self.white_out(entry, &place);
                }
                if self.has_been_made(&place)? {
                    return Ok(());
                }
                let place = self.place(&path, name)?;
                self.make(entry, &place, archive)
            }
            Meaning::Content => {
                let place = self.place(&path, name)?;
                let took = self.take_whiteout_file(&place)?;
                self.make(entry, &place, archive)?;
                if took && entry.kind == Kind::Directory {
                    let inside = self.place(&path, OsStr::new("."))?;
                    self.mark_opaque(&inside)?;
                }
                Ok(())
            }
        }
    }

    /// Docker's tar-split refuses a layer that names a path twice, and so must whoever wants to give the layer back.
    fn note_name(&mut self, name: &[u8], path: &Path) -> Result<(), UnpackError> {
        let rooted = if name.starts_with(b"/") { b"/".as_slice() } else { b"" };
        match self.names.insert([rooted, path.as_os_str().as_bytes()].concat()) {
            true => Ok(()),
            false => Err(UnpackError::Duplicate { name: lossy(name) }),
        }
    }

    /// Opens the directory that `path` stands in, making it where the layer did not; for `.`, `path` itself.
    fn place<'a>(&mut self, path: &'a Path, name: &'a OsStr) -> Result<Place<'a>, UnpackError> {
        let parent = if name == "." { path } else { path.parent().unwrap_or(Path::new("")) };
        let found = match self.root.directory(parent) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                if self.options.contents == Contents::Layer {
                    self.clear_way(parent)?;
                }
                self.root.directory_or_new(parent, &mut |made| {
                    self.implied.insert(inode(made));
                })
            }
            found => found,
        };
        let directory = found.map_err(|errno| io_error("make the parent directory of", path, errno))?;
        Ok(Place { directory, name, path })
    }

    /// Where the layer hides a directory on the way that it has itself, though no entry is about it, that one is made, and hides the one below.
    fn clear_way(&mut self, path: &Path) -> Result<(), UnpackError> {
        let error = |errno| io_error("make the parent directory of", path, errno);
        if !matches!(self.root.directory(path), Err(Errno::NOENT | Errno::NOTDIR)) {
            return Ok(());
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        self.clear_way(parent)?;
        let Ok(directory) = self.root.directory(parent) else { return Ok(()) };
        let place = Place { directory, name, path };
        let found = root::stat(place.fd(), name).map_err(error)?;
        let is_hidden = match found {
            Some(found) if self.is_whiteout(name, &found) => {
                fs::unlinkat(place.fd(), name, AtFlags::empty()).map_err(error)?;
                true
            }
            Some(_) => false,
            None => self.take_whiteout_file(&place)?,
        };
        if is_hidden {
            let directory = self.root.directory_or_new(path, &mut |_| {}).map_err(error)?;
            self.mark_opaque(&Place { directory, name: OsStr::new("."), path })?;
        }
        Ok(())
    }

    fn apply_root(&mut self, entry: &Entry, path: &Path) -> Result<(), UnpackError> {
        if entry.kind != Kind::Directory {
            return Err(UnpackError::RootNotADirectory { name: lossy(&entry.name) });
        }
        if self.options.contents != Contents::Layer {
            return Ok(());
        }
        self.note_name(&entry.name, path)?;
        let place = self.place(Path::new(""), OsStr::new("."))?;
        self.give_attributes(entry, &place)
    }

    fn mark_opaque(&self, place: &Place<'_>) -> Result<(), UnpackError> {
        match self.options.overlay.opaque() {
            Some(mark) => root::set_xattr(place.fd(), place.name, mark.as_bytes(), b"y"),
            None => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                fs::openat(place.fd(), whiteout::OPAQUE, flags, Mode::RUSR | Mode::WUSR).map(drop)
            }
        }
        .map_err(place.error("mark as opaque"))
    }

    /// Takes away the file that says that a name is gone, when the layer has the name too: it would hide it. True if there was one.
    fn take_whiteout_file(&self, place: &Place<'_>) -> Result<bool, UnpackError> {
        let Some(file_name) = whiteout::file_name(place.name).filter(|_| self.options.overlay.has_files()) else {
            return Ok(false);
        };
        match fs::unlinkat(place.fd(), file_name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(place.error("replace the whiteout of")(errno)),
        }
    }

    /// Whether the layer has something itself that it also hides below: that stays, whichever comes first, and a directory shows nothing
    /// of the one below (OCI image-spec, `layer.md`, "Whiteouts").
    fn has_been_made(&mut self, place: &Place<'_>) -> Result<bool, UnpackError> {
        let found = root::stat(place.fd(), place.name).map_err(place.error("look at"))?;
        let Some(found) = found.filter(|found| !self.is_whiteout(place.name, found)) else { return Ok(false) };
        if root::file_type(&found) == FileType::Directory {
            let inside = root::open_real_directory(place.fd(), place.name).map_err(place.error("open"))?;
            self.mark_opaque(&Place { directory: inside, name: OsStr::new("."), path: place.path })?;
            self.replaced.insert(inode(&found));
        }
        Ok(true)
    }

    fn is_whiteout(&self, name: &OsStr, found: &Stat) -> bool {
        matches!(self.options.overlay.hides(name, found), Some(Hides::Name(hidden)) if hidden == name)
    }

    fn white_out(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
        if self.has_been_made(place)? {
            return Ok(());
        }
        self.remove(place)?;
        make_device(place, FileType::CharacterDevice, 0, 0, 0)?;
        self.give_owner(entry, place)?;
        set_mtime(place, entry.mtime)
    }

    fn make(
        &mut self,
        entry: &Entry,
        place: &Place<'_>,
        archive: &mut Archive<'_, impl Read>,
    ) -> Result<(), UnpackError> {
        self.refuse_other_kind(entry, place)?;
        match entry.kind {
            Kind::Directory => self.make_directory(place)?,
            Kind::HardLink => self.make_hard_link(entry, place)?,
            _ => self.remove(place)?,
        }
        match entry.kind {
            Kind::Directory | Kind::HardLink => {}
            Kind::File => {
                write_file(entry, place, archive)?;
                self.done.size_bytes += entry.size_bytes;
            }
            Kind::Symlink => {
                fs::symlinkat(OsStr::from_bytes(&entry.link_name), place.fd(), place.name)
                    .map_err(place.error("make the symlink"))?;
                self.done.size_bytes += entry.link_name.len() as u64;
            }
            Kind::CharDevice { major, minor } => {
                make_device(place, FileType::CharacterDevice, entry.mode, major, minor)?;
            }
            Kind::BlockDevice { major, minor } => {
                make_device(place, FileType::BlockDevice, entry.mode, major, minor)?;
            }
            Kind::Fifo => {
                fs::mknodat(place.fd(), place.name, FileType::Fifo, Mode::from_raw_mode(entry.mode), 0)
                    .map_err(place.error("make the fifo"))?;
            }
        }
        self.give_attributes(entry, place)
    }

    /// Copies take the place of their own kind only: what is below a directory was not asked for.
    fn refuse_other_kind(&self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
        if self.options.contents != Contents::Copies {
            return Ok(());
        }
        let found = root::stat(place.fd(), place.name).map_err(place.error("look at"))?;
        let Some(found) = found else { return Ok(()) };
        let (path, destination) = (place.path.to_owned(), PathBuf::new());
        match (root::file_type(&found) == FileType::Directory, entry.kind == Kind::Directory) {
            (true, false) => Err(UnpackError::OverDirectory { path, destination }),
            (false, true) => Err(UnpackError::OverNonDirectory { path, destination }),
            _ => Ok(()),
        }
    }

    /// Keeps a directory that is there; one that takes the place of a whiteout hides what the whiteout hid.
    fn make_directory(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
        let found = root::stat(place.fd(), place.name).map_err(place.error("look at"))?;
        if found.as_ref().is_some_and(|stat| root::file_type(stat) == FileType::Directory) {
            return Ok(());
        }
        self.remove(place)?;
        fs::mkdirat(place.fd(), place.name, Mode::RWXU).map_err(place.error("make the directory"))?;
        if self.options.contents == Contents::Layer && found.as_ref().is_some_and(whiteout::is_device) {
            let inside = root::open_real_directory(place.fd(), place.name).map_err(place.error("open"))?;
            self.mark_opaque(&Place { directory: inside, name: OsStr::new("."), path: place.path })?;
        }
        Ok(())
    }

    fn make_hard_link(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
        let shown = || lossy(&entry.link_name);
        let target = clean(&entry.link_name).ok_or_else(|| UnpackError::Escapes { name: shown() })?;
        let missing = || UnpackError::MissingLinkTarget { path: place.path.to_owned(), target: shown() };
        let (Some(parent), Some(name)) = (target.parent(), target.file_name()) else { return Err(missing()) };
        let directory = match self.root.directory(parent) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(missing()),
            result => result.map_err(place.error("find the link target of"))?,
        };
        let target = root::stat(directory.as_fd(), name).map_err(place.error("look at the link target of"))?;
        let target = target.ok_or_else(missing)?;
        let present = root::stat(place.fd(), place.name).map_err(place.error("look at"))?;
        if present.is_some_and(|present| inode(&present) == inode(&target)) {
            return Ok(());
        }
        self.remove(place)?;
        fs::linkat(&directory, name, place.fd(), place.name, AtFlags::empty())
            .map_err(place.error("make the hard link"))
    }

    fn remove(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
        let (directories, size_bytes) = (&mut self.directories, &mut self.done.size_bytes);
        let (implied, replaced) = (&mut self.implied, &mut self.replaced);
        let mut forget = |stat: &Stat| match root::file_type(stat) {
            FileType::Directory => {
                directories.remove(&inode(stat));
                implied.remove(&inode(stat));
                replaced.remove(&inode(stat));
            }
            FileType::RegularFile | FileType::Symlink if stat.st_nlink == 1 => {
                *size_bytes = size_bytes.saturating_sub(stat.st_size.unsigned_abs());
            }
            _ => {}
        };
        match root::remove(place.fd(), place.name, &mut forget) {
            Err(Errno::BUSY) => {
                Err(UnpackError::MountPoint { path: place.path.to_owned(), destination: PathBuf::new() })
            }
            removed => removed.map_err(place.error("replace")),
        }
    }

    fn give_attributes(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
        self.give_owner(entry, place)?;
        self.give_xattrs(entry, place)?;
        let stat = root::stat(place.fd(), place.name).map_err(place.error("look at"))?;
        let Some(stat) = stat else { return Err(place.error("look at")(Errno::NOENT)) };
        let file_type = root::file_type(&stat);
        if file_type == FileType::Directory {
            let default_acl = entry.xattrs.get(root::DEFAULT_ACL.as_bytes()).cloned();
            let late =
                LateAttributes { path: place.path.to_owned(), mode: entry.mode, mtime: entry.mtime, default_acl };
            self.directories.insert(inode(&stat), late);
            return Ok(());
        }
        if file_type != FileType::Symlink {
            fs::chmodat(place.fd(), place.name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(place.error("set the mode of"))?;
        }
        set_mtime(place, entry.mtime)
    }

    fn give_owner(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
        let (uid, gid) = match self.options.owners {
            Owners::Given { uid, gid } => (uid, gid),
            _ => (entry.uid, entry.gid),
        };
        if self.options.owners != Owners::CallerOnly {
            let path = || place.path.to_owned();
            match chown(place, Some(uid), Some(gid)) {
                Ok(()) => return Ok(()),
                Err(Errno::INVAL | Errno::PERM) if self.options.owners == Owners::SquashUnmapped => {
                    for (uid, gid) in [(Some(uid), None), (None, Some(gid))] {
                        match chown(place, uid, gid) {
                            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
                            Err(errno) => return Err(place.error("set the owner of")(errno)),
                        }
                    }
                }
                Err(Errno::INVAL) => {
                    let uid_mapped = chown(place, Some(uid), None) != Err(Errno::INVAL);
                    return Err(UnpackError::UnmappedOwner { path: path(), uid, gid, uid_mapped });
                }
                Err(Errno::PERM) => return Err(UnpackError::OwnerRefused { path: path(), uid, gid }),
                Err(errno) => return Err(place.error("set the owner of")(errno)),
            }
        }
        let stat = root::stat(place.fd(), place.name).map_err(place.error("look at"))?;
        let kept = stat.is_some_and(|stat| (stat.st_uid, stat.st_gid) == (uid, gid));
        self.done.owners_lost += u64::from(!kept);
        Ok(())
    }

    fn give_xattrs(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
        let is_late = |xattr: &[u8]| entry.kind == Kind::Directory && xattr == root::DEFAULT_ACL.as_bytes();
        for (xattr, value) in entry.xattrs.iter().filter(|(xattr, _)| !is_late(xattr)) {
            let Some(kept) = self.options.overlay.kept(xattr) else {
                self.done.xattrs_lost += 1;
                continue;
            };
            match root::set_xattr(place.fd(), place.name, &kept, value) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP | Errno::PERM) => self.done.xattrs_lost += 1,
                Err(errno) => return Err(place.error("set an xattr of")(errno)),
            }
        }
        Ok(())
    }

    /// Finds the directories that no entry was about.
    fn find_unnamed(&mut self) -> Result<(), UnpackError> {
        let root = self.root.directory(Path::new("")).map_err(|errno| io_error("open", Path::new("."), errno))?;
        let stat = fs::fstat(&root).map_err(|errno| io_error("look at", Path::new("."), errno))?;
        if !self.directories.contains_key(&inode(&stat)) {
            self.done.unnamed.push(PathBuf::new());
        }
        self.implied.retain(|made| !self.directories.contains_key(made) && !self.replaced.contains(made));
        if !self.implied.is_empty() {
            self.find_implied(root, Path::new(""))?;
        }
        Ok(())
    }

    /// Finds those below a directory.
    fn find_implied(&mut self, directory: OwnedFd, path: &Path) -> Result<(), UnpackError> {
        let error = |errno| io_error("look for directories in", path, errno);
        let directory = root::open_real_directory(directory.as_fd(), OsStr::new(".")).map_err(error)?;
        for name in root::sorted_names(directory.as_fd()).map_err(error)? {
            let Some(stat) = root::stat(directory.as_fd(), &name).map_err(error)? else { continue };
            if root::file_type(&stat) != FileType::Directory {
                continue;
            }
            let path = path.join(&name);
            if self.implied.contains(&inode(&stat)) {
                self.done.unnamed.push(path.clone());
            }
            let inside = root::open_real_directory(directory.as_fd(), &name).map_err(error)?;
            self.find_implied(inside, &path)?;
        }
        Ok(())
    }

    /// Children before parents, since a parent's mode may shut the way to them.
    fn finish_directories(&mut self) -> Result<(), UnpackError> {
        let mut directories: Vec<(Inode, LateAttributes)> = self.directories.drain().collect();
        directories.sort_by(|a, b| b.1.path.cmp(&a.1.path));
        for (expected, late) in directories {
            let LateAttributes { path, mode, mtime, default_acl } = late;
            let moved = || UnpackError::DirectoryMoved { path: path.clone() };
            let error = |errno| io_error("finish the directory", &path, errno);
            let directory = match self.root.open_directory(&path) {
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Err(moved()),
                result => result.map_err(error)?,
            };
            if inode(&fs::fstat(&directory).map_err(error)?) != expected {
                return Err(moved());
            }
            if let Some(acl) = default_acl {
                match root::set_xattr(directory.as_fd(), OsStr::new("."), root::DEFAULT_ACL.as_bytes(), &acl) {
                    Ok(()) => {}
                    Err(Errno::OPNOTSUPP | Errno::PERM) => self.done.xattrs_lost += 1,
                    Err(errno) => return Err(error(errno)),
                }
            }
            fs::fchmod(&directory, Mode::from_raw_mode(mode)).map_err(error)?;
            fs::futimens(&directory, &timestamps(mtime)).map_err(error)?;
        }
        Ok(())
    }
}

/// Go's `filepath.Clean` below a root: relative, without `.` and `..`; `None` for a name that climbs out.
fn clean(name: &[u8]) -> Option<PathBuf> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.pop().is_none() && !name.starts_with(b"/") => return None,
            b".." => {}
            _ => parts.push(part),
        }
    }
    Some(parts.into_iter().map(OsStr::from_bytes).collect())
}

fn write_file(entry: &Entry, place: &Place<'_>, archive: &mut Archive<'_, impl Read>) -> Result<(), UnpackError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = fs::openat(place.fd(), place.name, flags, Mode::RUSR | Mode::WUSR);
    let mut file = std::fs::File::from(file.map_err(place.error("make the file"))?);
    let failed = |source| UnpackError::Io { operation: "write", path: place.path.to_owned(), source };
    let Some(extents) = &entry.extents else { return write_part(&mut file, u64::MAX, place, archive) };
    file.set_len(entry.size_bytes).map_err(failed)?;
    for extent in extents {
        file.seek(SeekFrom::Start(extent.offset)).map_err(failed)?;
        write_part(&mut file, extent.length_bytes, place, archive)?;
    }
    Ok(())
}

/// Writes what comes next of the contents, `length_bytes` at most.
fn write_part(
    file: &mut std::fs::File,
    length_bytes: u64,
    place: &Place<'_>,
    archive: &mut Archive<'_, impl Read>,
) -> Result<(), UnpackError> {
    let mut buffer = [0; 64 << 10];
    let mut left = length_bytes;
    while left > 0 {
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = archive.read_body(&mut buffer[..wanted])?;
        if count == 0 {
            break;
        }
        left -= count as u64;
        file.write_all(&buffer[..count]).map_err(|source| UnpackError::Io {
            operation: "write",
            path: place.path.to_owned(),
            source,
        })?;
    }
    Ok(())
}

fn make_device(place: &Place<'_>, kind: FileType, mode: u32, major: u32, minor: u32) -> Result<(), UnpackError> {
    let (major_limit, minor_limit) = (1 << 12, 1 << 20);
    if major >= major_limit || minor >= minor_limit {
        return Err(place.error("make the device node (its numbers are out of range)")(Errno::RANGE));
    }
    let device = fs::makedev(major, minor);
    match fs::mknodat(place.fd(), place.name, kind, Mode::from_raw_mode(mode), device) {
        Err(Errno::PERM) => Err(UnpackError::DeviceRefused { path: place.path.to_owned() }),
        result => result.map_err(place.error("make the device node")),
    }
}

fn chown(place: &Place<'_>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    fs::chownat(place.fd(), place.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
}

fn set_mtime(place: &Place<'_>, mtime: Time) -> Result<(), UnpackError> {
    fs::utimensat(place.fd(), place.name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(place.error("set the time of"))
}

/// Both times: nothing has been read before it was written.
fn timestamps(mtime: Time) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}

fn inode(stat: &Stat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
