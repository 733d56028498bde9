//! What a tar says of one entry of a directory, before hard links and whiteouts: the one place where packing a layer and
//! bundling plain files look at it.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{self, FileType, Stat};
use rustix::io::Errno;

use super::header::Header;
use super::root;

/// The extended attribute that layers carry.
const CAPABILITY: &str = "security.capability";

/// The header of `last` in `directory`, to be called `name` in the tar, without names of owners; `None` for a socket, which no
/// tar can hold. `file` is it, where it has been opened: that is asked sooner than a path.
pub(super) fn header(
    directory: BorrowedFd<'_>,
    last: &OsStr,
    file: Option<&File>,
    name: &Path,
    stat: &Stat,
) -> Result<Option<Header>, Errno> {
    let mut header = Header {
        name: name.as_os_str().as_bytes().to_vec(),
        mode: stat.st_mode,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mtime_seconds: stat.st_mtime,
        ..Header::default()
    };
    header.kind = match root::file_type(stat) {
        FileType::RegularFile => b'0',
        FileType::Symlink => b'2',
        FileType::CharacterDevice => b'3',
        FileType::BlockDevice => b'4',
        FileType::Directory => b'5',
        FileType::Fifo => b'6',
        _ => return Ok(None),
    };
    match header.kind {
        b'0' => header.size_bytes = stat.st_size.unsigned_abs(),
        b'2' => header.link_name = fs::readlinkat(directory, last, Vec::new())?.into_bytes(),
        b'3' | b'4' => {
            (header.device_major, header.device_minor) = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
        }
        b'5' => header.name.push(b'/'),
        _ => {}
    }
    let capability = match file {
        Some(file) => root::xattr_of(file.as_fd(), CAPABILITY)?,
        None => root::xattr(directory, last, CAPABILITY)?,
    };
    header.xattrs = capability.map(|value| (CAPABILITY.into(), value)).into_iter().collect();
    Ok(Some(header))
}

/// Names of owners, each looked up once: a lookup may read all of /etc/passwd.
#[derive(Default)]
pub(super) struct OwnerNames {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

/// Looks a user or group up by its number.
pub(super) type LookUp<'a> = &'a dyn Fn(u32) -> Option<String>;

impl OwnerNames {
    /// Writes the names of `header`'s owners into it; empty where `user` or `group` knows none.
    pub(super) fn fill(&mut self, header: &mut Header, user: LookUp<'_>, group: LookUp<'_>) {
        let (uid, gid) = (header.uid, header.gid);
        header.user_name = self.users.entry(uid).or_insert_with(|| user(uid).unwrap_or_default()).clone();
        header.group_name = self.groups.entry(gid).or_insert_with(|| group(gid).unwrap_or_default()).clone();
    }
}
