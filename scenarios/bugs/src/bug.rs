//! A seeded bug: what storage does wrong in one place, while everything else goes the right way.
//!
//! *Why*: a harness is worth what it catches, and only a bug that is known to be there shows that it catches. *Holds*: each method hands its
//! work on; a bug overrides one, and `look`, `unmounted` or `attach` where it remembers. *Never*: a bug that asks which law looks. *Proved by*: the two canaries of `tests/canaries.rs`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use layerlab_engine::driver::{Driver, DriverError, View};
use layerlab_engine::layer::{Change, Owners, Packed, UnpackError, Unpacked};
use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Slot, Step, Target, User};
use layerlab_model::text::Text;
use layerlab_properties::perform::Hands;
use layerlab_properties::stores::{Freed, Shop};
use layerlab_properties::subjects::{Stack, Subject, SubjectError};
use layerlab_properties::tree::Tree;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, mknodat, openat, statat, unlinkat};

use crate::tars::Entry;

/// What a bug is seeded in: the subject that is right without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// A subject of the laws that is mounted: `overlay`, `overlay-index`, ….
    Mount(&'static str),
    /// A driver of this engine, in process.
    Driver(&'static str),
    /// The store of images on that driver.
    Store(&'static str),
}

/// What of the kernel's own stands before a mount through FUSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThroughFuse {
    /// Its own questions whether a user may do something, as before every file system.
    Gated,
    /// Not those: everything is asked for, and a bug can let in whom it likes. So `..` is gone through, and pipes and devices are opened, without
    /// asking, and of two reasons to refuse another one may be told.
    Ungated,
    /// Too much: it never asks for what the bug is in, for this reason.
    Hidden(&'static str),
}

/// Something wrong.
pub trait Bug: Send + Sync {
    /// What it is seeded in.
    fn home(&self) -> Home {
        Home::Mount("overlay")
    }

    /// How a mount through FUSE has to be for it to show.
    fn through_fuse(&self) -> ThroughFuse {
        ThroughFuse::Gated
    }

    /// [`Subject::begin`]
    fn begin(&self, subject: &dyn Subject, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        subject.begin(place)
    }

    /// [`Stack::mount`]
    fn mount(&self, stack: &mut dyn Stack) -> Result<OwnedFd, SubjectError> {
        stack.mount()
    }

    /// Does a step in the merged tree.
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        mounted.pass(step)
    }

    /// Shows the merged tree.
    fn look(&self, _tree: &mut Tree, _notes: &Notes) {}

    /// Ends the mount, of which nothing is used any more.
    fn unmounted(&self, _layers: &mut Layers<'_>) -> io::Result<()> {
        Ok(())
    }

    /// Makes the upper layer a lower one.
    fn committed(&self, _layers: &mut Layers<'_>) -> io::Result<()> {
        Ok(())
    }

    /// [`Driver::create`]
    fn create(&self, driver: &dyn Driver, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        driver.create(id, parent)
    }

    /// [`Driver::adopt`]
    fn adopt(&self, driver: &dyn Driver, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        driver.adopt(id, parent, content)
    }

    /// [`Driver::attach`]; `notes` are remembered for as long as the driver is open.
    fn attach(&self, driver: &dyn Driver, id: &str, _notes: &mut Notes) -> Result<PathBuf, DriverError> {
        driver.attach(id)
    }

    /// [`Driver::detach`]
    fn detach(&self, driver: &dyn Driver, id: &str, _notes: &mut Notes) -> Result<(), DriverError> {
        driver.detach(id)
    }

    /// [`Driver::view`]
    fn view(&self, driver: &dyn Driver, id: &str) -> Result<View, DriverError> {
        driver.view(id)
    }

    /// [`Driver::changes`]
    fn changes(&self, driver: &dyn Driver, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        driver.changes(id, parent)
    }

    /// [`Driver::pack`]; the digest of the bytes is told right.
    fn pack(
        &self,
        driver: &dyn Driver,
        id: &str,
        parent: Option<&str>,
        out: &mut dyn io::Write,
    ) -> Result<Packed, DriverError> {
        driver.pack(id, parent, out)
    }

    /// Writes the entries of a layer tar that a driver packs.
    fn packed(&self, _entries: &mut Vec<Entry>) {}

    /// Reads the entries of a layer tar that a driver unpacks; what is noted of the tar is right.
    fn received(&self, _entries: &mut Vec<Entry>) {}

    /// [`Driver::unpack`]
    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        layer.unpack()
    }

    /// [`Driver::remove`]
    fn remove(&self, driver: &dyn Driver, id: &str) -> Result<(), DriverError> {
        driver.remove(id)
    }

    /// [`Shop::load`]
    fn load(&self, shop: &mut dyn Shop, archive: &[u8]) -> Result<(), SubjectError> {
        shop.load(archive)
    }

    /// [`Shop::save`]
    fn save(&self, shop: &mut dyn Shop, name: &str) -> Result<Vec<u8>, SubjectError> {
        shop.save(name)
    }

    /// [`Shop::commit`]
    fn commit(&self, shop: &mut dyn Shop, name: &str, content: Option<&[u8]>, new: &str) -> Result<(), SubjectError> {
        shop.commit(name, content, new)
    }

    /// [`Shop::remove`]
    fn remove_image(&self, shop: &mut dyn Shop, name: &str) -> Result<Option<Freed>, SubjectError> {
        shop.remove(name)
    }

    /// [`Shop::prune`]
    fn prune(&self, shop: &mut dyn Shop, all: bool) -> Result<Freed, SubjectError> {
        shop.prune(all)
    }

    /// [`Shop::reopen`]
    fn reopen(&self, shop: &mut dyn Shop) -> Result<(), SubjectError> {
        shop.reopen()
    }
}

/// No bug: who sees something here is wrong.
#[derive(Debug, Clone, Copy)]
pub struct NothingIsWrong(pub Home, pub ThroughFuse);

impl Bug for NothingIsWrong {
    fn home(&self) -> Home {
        self.0
    }

    fn through_fuse(&self) -> ThroughFuse {
        self.1
    }
}

/// A layer tar that a driver is to unpack.
pub struct Received<'a> {
    pub(crate) driver: &'a dyn Driver,
    pub(crate) tar: &'a mut dyn io::Read,
    /// Into this directory.
    pub content: &'a Path,
    /// For these.
    pub owners: Owners,
    pub(crate) record: &'a mut dyn io::Write,
}

impl<'a> Received<'a> {
    /// Does it the right way.
    pub fn unpack(&mut self) -> Result<Unpacked, UnpackError> {
        self.driver.unpack(self.tar, self.content, self.owners, self.record)
    }

    /// Does it the right way with another tar.
    pub fn unpack_instead(&mut self, tar: &[u8]) -> Result<Unpacked, UnpackError> {
        self.driver.unpack(&mut &tar[..], self.content, self.owners, self.record)
    }

    /// Does it the right way with the tar `tar`, but for what is noted of it, so that it comes back: that is changed.
    pub fn unpack_and_note(&mut self, tar: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Result<Unpacked, UnpackError> {
        let mut noted = Vec::new();
        let unpacked = self.driver.unpack(&mut &tar[..], self.content, self.owners, &mut noted)?;
        change(&mut noted);
        self.record.write_all(&noted).map_err(self.failed())?;
        Ok(unpacked)
    }

    /// The tar, as far as it comes, and whether it breaks off there.
    pub fn read_part(&mut self) -> (Vec<u8>, io::Result<()>) {
        let mut bytes = Vec::new();
        let read = self.tar.read_to_end(&mut bytes).map(drop);
        (bytes, read)
    }

    /// The tar.
    pub fn read(&mut self) -> Result<Vec<u8>, UnpackError> {
        let (bytes, read) = self.read_part();
        read.map_err(self.failed())?;
        Ok(bytes)
    }

    /// Makes an error of a bug's own one of unpacking.
    pub fn failed(&self) -> impl Fn(io::Error) -> UnpackError + Copy + use<'a> {
        let content = self.content;
        move |source| UnpackError::Io { operation: "seed a bug in", path: content.into(), source }
    }

    /// Whether what lies at `path` may be harmed: what the harness itself put beside the layer, and nothing else of this machine.
    pub fn may_harm(&self, path: &Path) -> bool {
        self.content.parent().is_some_and(|place| path.starts_with(place))
    }
}

/// An open file of a bug's own, among those of the case.
pub const SPARE: Slot = 250;

/// What a bug remembers between the steps of one case, or the calls of one driver.
pub type Notes = BTreeSet<Text>;

/// The merged tree, in which paths begin.
pub struct Mounted<'a> {
    pub(crate) hands: &'a mut dyn Hands,
    pub(crate) upper: Option<BorrowedFd<'a>>,
    pub(crate) lowers: &'a [OwnedFd],
    /// What is remembered until the case ends.
    pub notes: &'a mut Notes,
}

impl Mounted<'_> {
    /// Does it the right way.
    pub fn pass(&mut self, step: &Step) -> Result<Answer, Errno> {
        self.hands.step(step)
    }

    /// Does another operation for the same user.
    pub fn instead(&mut self, step: &Step, operation: Operation) -> Result<Answer, Errno> {
        self.hands.step(&Step { user: step.user, operation })
    }

    /// Does an operation that nobody asked for, as the superuser.
    pub fn also(&mut self, operation: Operation) -> Result<Answer, Errno> {
        self.hands.step(&Step { user: User::Root, operation })
    }

    /// What `path` leads to, its last name not followed.
    pub fn stat(&self, path: &Text) -> Option<Stat> {
        statat(CWD, &path.0[..], AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// What the upper layer has at `path`: a file, a whiteout, or nothing.
    pub fn in_upper(&self, path: &Text) -> Option<Stat> {
        let below = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
        statat(self.upper?, if below.is_empty() { b"." } else { below }, AtFlags::SYMLINK_NOFOLLOW).ok()
    }

    /// What `step` changes of a file or directory that the upper layer has not, and that is copied up when it is done.
    pub fn copied_up_by(&self, step: &Step) -> Option<Text> {
        let path = match &step.operation {
            Operation::Open { path, flags, .. } if flags.access.writes() && !flags.path_only => path,
            Operation::Truncate { target: Target::Path(path), .. }
            | Operation::Chmod { target: Target::Path(path), .. }
            | Operation::Chown { target: Target::Path(path), .. }
            | Operation::SetTime { target: Target::Path(path), .. }
            | Operation::Touch { target: Target::Path(path) }
            | Operation::SetXattr { target: Target::Path(path), .. }
            | Operation::SetAcl { target: Target::Path(path), .. }
            | Operation::RemoveXattr { target: Target::Path(path), .. } => path,
            _ => return None,
        };
        let kind = FileType::from_raw_mode(self.stat(path)?.st_mode);
        let is_copied = matches!(kind, FileType::RegularFile | FileType::Directory) && self.in_upper(path).is_none();
        is_copied.then(|| path.clone())
    }

    /// Names in the directory that the lower layers have at `path`, whatever hides it.
    pub fn names_in_lowers(&self, path: &Text) -> BTreeSet<Text> {
        let below = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
        let below = if below.is_empty() { b"." } else { below };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = self.lowers.iter().filter_map(|lower| openat(lower, below, flags, Mode::empty()).ok());
        let entries = opened.filter_map(|directory| Dir::new(directory).ok()).flatten().flatten();
        let names = entries.map(|entry| Text::from(entry.file_name().to_bytes()));
        names.filter(|name| !matches!(name.as_bytes(), b"." | b"..")).collect()
    }

    /// Hides `path` by a whiteout in the upper layer, past the mount.
    pub fn white_out(&self, path: &Text) -> Result<(), Errno> {
        let Some(upper) = self.upper else { return Ok(()) };
        let below = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
        let made = mknodat(upper, below, FileType::CharacterDevice, Mode::empty(), 0);
        made.map_err(|errno| Errno(errno.raw_os_error()))
    }

    /// Removes the file `path` from the upper layer, past the mount; what lies below shows when it is mounted again.
    pub fn uncover(&self, path: &Text) -> Result<(), Errno> {
        let Some(upper) = self.upper else { return Ok(()) };
        let below = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
        unlinkat(upper, below, AtFlags::empty()).map_err(|errno| Errno(errno.raw_os_error()))
    }

    /// Whether the upper layer hides `path` by a whiteout.
    pub fn is_whited_out(&self, path: &Text) -> bool {
        self.in_upper(path).is_some_and(|stat| is_whiteout(&stat))
    }
}

/// Whether this is a whiteout of overlayfs: a character device 0:0.
pub fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The layers, while nothing is mounted.
pub struct Layers<'a> {
    pub(crate) stack: &'a dyn Stack,
    /// What is remembered of the steps.
    pub notes: &'a mut Notes,
}

impl Layers<'_> {
    /// The upper layer's directory, where the subject has one.
    pub fn upper(&self) -> Option<PathBuf> {
        self.stack.upper().map(|upper| PathBuf::from(format!("/proc/self/fd/{}/", upper.as_raw_fd())))
    }

    /// Where `path` of the merged tree lies in the upper layer.
    pub fn in_upper(&self, path: &Text) -> Option<PathBuf> {
        let below = path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes());
        Some(self.upper()?.join(OsStr::from_bytes(below)))
    }

    /// Everything in the upper layer, the deepest first.
    pub fn all_in_upper(&self) -> io::Result<Vec<PathBuf>> {
        self.upper().map_or(Ok(Vec::new()), |upper| below(&upper))
    }

    /// Removes the whiteouts of what is in the notes from the upper layer.
    pub fn without_noted_whiteouts(&self) -> io::Result<()> {
        self.without_whiteouts(|path| self.notes.contains(path))
    }

    /// Removes those whiteouts from the upper layer whose paths in the merged tree are chosen.
    pub fn without_whiteouts(&self, is_chosen: impl Fn(&Text) -> bool) -> io::Result<()> {
        let Some(upper) = self.upper() else { return Ok(()) };
        for file in below(&upper)? {
            let stat = statat(CWD, &file, AtFlags::SYMLINK_NOFOLLOW)?;
            let path = file.strip_prefix(&upper).unwrap_or(&file);
            if is_whiteout(&stat) && is_chosen(&Text([b"/", path.as_os_str().as_bytes()].concat())) {
                fs::remove_file(&file)?;
            }
        }
        Ok(())
    }

    /// The directories of the lower layers, the lowest first.
    pub fn lowers(&self) -> Vec<PathBuf> {
        self.stack.lowers()
    }
}

/// Whether there is a whiteout of overlayfs at `path`.
pub fn is_whiteout_at(path: &Path) -> bool {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| is_whiteout(&stat))
}

/// A path of a step as [`Tree`] has it: without a `/` at its beginning.
pub fn in_tree(path: &Text) -> Text {
    Text::from(path.as_bytes().strip_prefix(b"/").unwrap_or(path.as_bytes()))
}

/// The path of a directory, and the last name, of a path of a step.
pub fn split(path: &Text) -> (Text, Text) {
    let slash = path.as_bytes().iter().rposition(|byte| *byte == b'/').unwrap_or(0);
    (Text::from(&path.as_bytes()[..slash]), Text::from(&path.as_bytes()[slash + 1..]))
}

/// Makes `path` a whiteout of overlayfs.
pub fn white_out(path: &Path) -> io::Result<()> {
    Ok(mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0)?)
}

/// Everything below `directory`, the deepest first.
pub fn below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.symlink_metadata()?.is_dir() {
            found.extend(below(&path)?);
        }
        found.push(path);
    }
    Ok(found)
}
