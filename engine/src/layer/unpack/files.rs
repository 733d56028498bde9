//! Makes what an entry is about at its name, in the place of what stands there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::{Contents, Layer, Place, UnpackError, clean, inode, lossy};
use crate::layer::archive::{Archive, Entry, Kind};
use crate::layer::root;
use crate::layer::whiteout;

impl Layer {
    /// Copies take the place of their own kind only: what is below a directory was not asked for.
    pub(super) fn refuse_other_kind(&self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
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
    pub(super) fn make_directory(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
        let found = root::stat(place.fd(), place.name).map_err(place.error("look at"))?;
        if found.as_ref().is_some_and(|stat| root::file_type(stat) == FileType::Directory) {
            return Ok(());
        }
        self.remove(place)?;
        fs::mkdirat(place.fd(), place.name, Mode::RWXU).map_err(place.error("make the directory"))?;
        if self.options.contents == Contents::Layer && found.as_ref().is_some_and(whiteout::is_device) {
            let inside = root::open_real_directory(place.fd(), place.name).map_err(place.error("open"))?;
            self.mark_opaque(&Place { directory: Rc::new(inside), name: OsStr::new("."), path: place.path })?;
        }
        Ok(())
    }

    pub(super) fn make_hard_link(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
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

    pub(super) fn remove(&mut self, place: &Place<'_>) -> Result<(), UnpackError> {
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

    /// Makes the file anew, in the place of what stands there; whether anything did.
    pub(super) fn make_file(
        &mut self,
        entry: &Entry,
        place: &Place<'_>,
        archive: &mut Archive<'_, impl Read>,
    ) -> Result<(File, bool), UnpackError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // Nobody sees what is in a layer before it is whole.
        let mode = if self.options.contents == Contents::Layer { entry.mode & 0o777 } else { 0o600 };
        let make = || fs::openat(place.fd(), place.name, flags, Mode::from_raw_mode(mode));
        let mut made = make();
        let is_taken = made.as_ref().is_err_and(|errno| *errno == Errno::EXIST);
        if is_taken {
            self.remove(place)?;
            made = make();
        }
        let mut file = File::from(made.map_err(place.error("make the file"))?);
        let failed = |source| UnpackError::Io { operation: "write", path: place.path.to_owned(), source };
        let Some(extents) = &entry.extents else {
            write_part(&mut file, u64::MAX, place, archive)?;
            return Ok((file, is_taken));
        };
        file.set_len(entry.size_bytes).map_err(failed)?;
        for extent in extents {
            file.seek(SeekFrom::Start(extent.offset)).map_err(failed)?;
            write_part(&mut file, extent.length_bytes, place, archive)?;
        }
        Ok((file, is_taken))
    }
}

/// Writes what comes next of the contents, `length_bytes` at most.
fn write_part(
    file: &mut File,
    length_bytes: u64,
    place: &Place<'_>,
    archive: &mut Archive<'_, impl Read>,
) -> Result<(), UnpackError> {
    let mut write = |bytes: &[u8]| {
        let failed = |source| UnpackError::Io { operation: "write", path: place.path.to_owned(), source };
        file.write_all(bytes).map_err(failed)
    };
    let mut left = length_bytes;
    loop {
        match archive.hand_body(left, &mut write)? {
            0 => return Ok(()),
            count => left -= count,
        }
    }
}

pub(super) fn make_device(
    place: &Place<'_>,
    kind: FileType,
    mode: u32,
    major: u32,
    minor: u32,
) -> Result<(), UnpackError> {
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
