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
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::archive::{Archive, Entry, Kind};
use super::root::Root;
use super::tree::STAYS;
use super::whiteout::{self, Meaning, OverlayXattr};

mod attributes;
mod error;
mod files;
mod hiding;
mod places;

use attributes::LateAttributes;
pub use error::UnpackError;
use error::io_error;
use files::make_device;

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

/// Notes in each directory of the layer at `root` that no entry was about that it stays what it is below ([`super::lay_over`]).
pub fn note_unnamed(unpacked: &Unpacked, root: &Path) -> Result<(), UnpackError> {
    let opened = Root::open(root).map_err(|errno| io_error("open the root directory", root, errno))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    for path in &unpacked.unnamed {
        let note = opened.open_directory(path).and_then(|directory| fs::openat(directory, STAYS, flags, Mode::RUSR));
        note.map_err(|errno| io_error("leave a note in", path, errno))?;
    }
    Ok(())
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
        latest: None,
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
    /// The directory of the latest entry, if that made a file in it and nothing else since then can have changed what its path leads to.
    latest: Option<(PathBuf, Rc<OwnedFd>)>,
    done: Unpacked,
}

type Inode = (u64, u64);

/// Where an entry goes: a name in an open directory. The root itself is `.` in itself.
struct Place<'a> {
    directory: Rc<OwnedFd>,
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

    fn make(
        &mut self,
        entry: &Entry,
        place: &Place<'_>,
        archive: &mut Archive<'_, impl Read>,
    ) -> Result<(), UnpackError> {
        self.refuse_other_kind(entry, place)?;
        if entry.kind == Kind::File {
            let (file, has_replaced) = self.make_file(entry, place, archive)?;
            self.done.size_bytes += entry.size_bytes;
            self.give_file_attributes(entry, place, &file)?;
            // What it took the place of may have been a part of its own path.
            let parent = place.path.parent().filter(|_| !has_replaced);
            self.latest = parent.map(|parent| (parent.to_owned(), Rc::clone(&place.directory)));
            return Ok(());
        }
        match entry.kind {
            Kind::Directory => self.make_directory(place)?,
            Kind::HardLink => self.make_hard_link(entry, place)?,
            _ => self.remove(place)?,
        }
        match entry.kind {
            Kind::Directory | Kind::HardLink | Kind::File => {}
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

fn inode(stat: &Stat) -> Inode {
    (stat.st_dev, stat.st_ino)
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
