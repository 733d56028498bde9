//! Owners first, then xattrs and modes, times last: a chown clears set-user-ID bits and capabilities, each write moves a time.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::{Inode, Layer, Owners, Place, UnpackError, inode, io_error};
use crate::layer::archive::{Entry, Kind, Time};
use crate::layer::root;

/// What a directory gets when all its contents are there: a mode may forbid writing, each write moves the mtime, and a default access
/// control list would be handed down to what is made in it.
pub(super) struct LateAttributes {
    path: PathBuf,
    mode: u32,
    mtime: Time,
    default_acl: Option<Vec<u8>>,
}

impl Layer {
    /// For whatever stands at a name.
    pub(super) fn give_attributes(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
        self.give_owner(entry, place, None)?;
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

    /// For a file that was just made at a name.
    pub(super) fn give_file_attributes(
        &mut self,
        entry: &Entry,
        place: &Place<'_>,
        file: &File,
    ) -> Result<(), UnpackError> {
        let made = fs::fstat(file).map_err(place.error("look at"))?;
        // What it has is not given again: each gift is written to the disk.
        let is_its_owners = (made.st_uid, made.st_gid) == self.owner(entry);
        if !is_its_owners {
            self.give_owner(entry, place, Some(file))?;
        }
        self.give_xattrs(entry, place)?;
        // An owner takes bits away, and an access control list is bits, too.
        if !is_its_owners || !entry.xattrs.is_empty() || made.st_mode & 0o7777 != entry.mode {
            fs::fchmod(file, Mode::from_raw_mode(entry.mode)).map_err(place.error("set the mode of"))?;
        }
        fs::futimens(file, &timestamps(entry.mtime)).map_err(place.error("set the time of"))
    }

    /// Who is to own it.
    fn owner(&self, entry: &Entry) -> (u32, u32) {
        match self.options.owners {
            Owners::Given { uid, gid } => (uid, gid),
            _ => (entry.uid, entry.gid),
        }
    }

    /// `file` is what stands at the name, if it is open.
    pub(super) fn give_owner(
        &mut self,
        entry: &Entry,
        place: &Place<'_>,
        file: Option<&File>,
    ) -> Result<(), UnpackError> {
        let (uid, gid) = self.owner(entry);
        if self.options.owners != Owners::CallerOnly {
            let path = || place.path.to_owned();
            let chown = |place, uid, gid| chown(place, file, uid, gid);
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

    /// Children before parents, since a parent's mode may shut the way to them.
    pub(super) fn finish_directories(&mut self) -> Result<(), UnpackError> {
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

fn chown(place: &Place<'_>, file: Option<&File>, uid: Option<u32>, gid: Option<u32>) -> Result<(), Errno> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    match file {
        Some(file) => fs::fchown(file, uid, gid),
        None => fs::chownat(place.fd(), place.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW),
    }
}

pub(super) fn set_mtime(place: &Place<'_>, mtime: Time) -> Result<(), UnpackError> {
    fs::utimensat(place.fd(), place.name, &timestamps(mtime), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(place.error("set the time of"))
}

/// Both times: nothing has been read before it was written.
fn timestamps(mtime: Time) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: i64::from(mtime.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}
