//! Carries a frozen layer to another file system, so that a stack lies on two.
//!
//! *Holds*: everything that is known of a file comes along: type, mode, owner, times, content and its holes, every extended attribute, and which names
//! are one file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use layerlab_engine::layer::copy_data;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

/// As long as a list of names or a value can be (xattr(7)).
const XATTR_BYTES_MAX: usize = 1 << 16;

/// Carries all of the directory `from` to `to`, where nothing is yet; `from` stays.
pub fn carry(from: &Path, to: &Path) -> io::Result<()> {
    one(from, to, &mut HashMap::new())
}

fn one(from: &Path, to: &Path, carried: &mut HashMap<u64, PathBuf>) -> io::Result<()> {
    let meta = fs::symlink_metadata(from)?;
    if !meta.is_dir() {
        if let Some(first) = carried.get(&meta.ino()) {
            return fs::hard_link(first, to);
        }
        carried.insert(meta.ino(), to.to_owned());
    }
    let kind = FileType::from_raw_mode(meta.mode());
    match kind {
        FileType::Directory => {
            fs::create_dir(to)?;
            for entry in fs::read_dir(from)? {
                let entry = entry?;
                one(&entry.path(), &to.join(entry.file_name()), carried)?;
            }
        }
        FileType::Symlink => std::os::unix::fs::symlink(fs::read_link(from)?, to)?,
        FileType::RegularFile => copy_data(&File::open(from)?, &File::create_new(to)?)?,
        _ => rustix::fs::mknodat(CWD, to, kind, Mode::empty(), meta.rdev())?,
    }
    std::os::unix::fs::lchown(to, Some(meta.uid()), Some(meta.gid()))?;
    if kind != FileType::Symlink {
        fs::set_permissions(to, Permissions::from_mode(meta.mode() & 0o7777))?;
    }
    let mut names = vec![0; XATTR_BYTES_MAX];
    let length = rustix::fs::llistxattr(from, &mut names[..])?;
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let (name, mut value) = (OsStr::from_bytes(name), vec![0; XATTR_BYTES_MAX]);
        let length = rustix::fs::lgetxattr(from, name, &mut value[..])?;
        rustix::fs::lsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: time(meta.atime(), meta.atime_nsec()),
        last_modification: time(meta.mtime(), meta.mtime_nsec()),
    };
    Ok(rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
