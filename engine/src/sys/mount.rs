//! Mounting and unmounting, and what is mounted now.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, move_mount};

/// Mounts a file system of `kind` from `source` on `target`; `data` is its comma-separated options.
pub fn mount(source: &str, target: &Path, kind: &str, flags: MountFlags, data: &str) -> io::Result<()> {
    let data = CString::new(data).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(rustix::mount::mount(source, target, kind, flags, Some(data.as_c_str()))?)
}

/// A file system mounted nowhere: it can be looked into by its path and is gone when this value is.
pub struct Detached {
    mount: OwnedFd,
}

impl From<Detached> for OwnedFd {
    fn from(detached: Detached) -> OwnedFd {
        detached.mount
    }
}

impl From<OwnedFd> for Detached {
    /// Takes what `fsmount(2)` or `open_tree(2)` gave.
    fn from(mount: OwnedFd) -> Detached {
        Detached { mount }
    }
}

impl Detached {
    /// A path to the root of the file system, valid in this process while the value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.mount.as_raw_fd())).join(".")
    }

    /// Gives it a place in the tree; it stays there when the value is gone.
    pub fn attach(&self, target: &Path) -> io::Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        Ok(move_mount(self.mount.as_fd(), "", CWD, target, flags)?)
    }
}

/// Makes `source` visible at `target` too, with everything mounted below it.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind_recursive(source, target)?)
}

/// Makes `source` visible at `target` too, without what is mounted below it.
pub fn bind_alone(source: &Path, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind(source, target)?)
}

/// Makes an existing bind mount read-only, keeping the flags the kernel locked on it.
pub fn make_read_only(target: &Path) -> io::Result<()> {
    use MountFlags as F;
    let locked = rustix::fs::statvfs(target)?.f_flag;
    let mut flags = F::RDONLY | F::BIND;
    for (held, flag) in [
        (rustix::fs::StatVfsMountFlags::NOSUID, F::NOSUID),
        (rustix::fs::StatVfsMountFlags::NODEV, F::NODEV),
        (rustix::fs::StatVfsMountFlags::NOEXEC, F::NOEXEC),
    ] {
        if locked.contains(held) {
            flags |= flag;
        }
    }
    Ok(rustix::mount::mount_remount(target, flags, "")?)
}

/// Keeps mounts made here from reaching the namespace this one was copied from.
pub fn make_private(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_change(target, MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?)
}

/// Keeps mounts made here from leaving, while mounts of the outer namespace still arrive.
pub fn make_slave(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_change(target, MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
}

/// Unmounts `target`, at once if it is idle and else as soon as its last user is gone. What is not mounted stays so.
pub fn unmount(target: &Path) -> io::Result<()> {
    match rustix::mount::unmount(target, UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => Ok(()),
        Err(Errno::BUSY) => Ok(rustix::mount::unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)?),
        Err(errno) => Err(errno.into()),
    }
}

/// Whether something is mounted exactly on `target` in this mount namespace. Who serves it is not asked.
pub fn is_mount_point(target: &Path) -> io::Result<bool> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match statx(CWD, target, flags, StatxFlags::empty()) {
        Ok(told) if told.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) => {
            Ok(told.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
        }
        Err(Errno::NOENT) => Ok(false),
        // A kernel before 5.8, or somebody's mount that refuses even that.
        _ => is_listed(target),
    }
}

/// [`is_mount_point`] as `/proc/self/mountinfo` tells it, in field 5.
fn is_listed(target: &Path) -> io::Result<bool> {
    let wanted = std::path::absolute(target)?;
    let table = std::fs::read("/proc/self/mountinfo")?;
    Ok(table
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .any(|field| unescape(field) == wanted))
}

/// Everything below `directory` on which something is mounted in this mount namespace, in the order of mounting. Of `directory` itself
/// nothing is said: it may be a file system of its own.
pub fn points_below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = std::path::absolute(directory)?;
    let table = std::fs::read("/proc/self/mountinfo")?;
    let fields = table.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    Ok(fields.map(unescape).filter(|point| *point != directory && point.starts_with(&directory)).collect())
}

/// Undoes the octal escapes (`\040` for a blank) of the mount tables.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        if let ([b'\\', a, b, c, ..], 4..) = (rest, rest.len())
            && [a, b, c].iter().all(|digit| (b'0'..=b'7').contains(*digit))
        {
            bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = &rest[4..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// Whether `path` can be named in a mount option string: overlayfs splits at `:` and `,` and knows `\` as an escape.
pub fn fits_option(path: &Path) -> bool {
    !path.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b':' | b',' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_a_mount_point_and_a_file_is_not() {
        for asked in [is_mount_point, is_listed] {
            assert!(asked(Path::new("/")).unwrap() && asked(Path::new("/proc")).unwrap());
            assert!(!asked(Path::new("/proc/self/status")).unwrap());
            assert!(!asked(Path::new("/nosuchthing")).unwrap());
        }
    }

    #[test]
    fn what_is_mounted_below_the_root_is_listed_and_the_root_is_not() {
        let points = points_below(Path::new("/")).unwrap();
        assert!(points.contains(&PathBuf::from("/proc")) && !points.contains(&PathBuf::from("/")), "{points:?}");
    }

    #[test]
    fn blanks_in_mount_tables_are_understood() {
        assert_eq!(unescape(br"/a\040b\134c"), PathBuf::from(r"/a b\c"));
    }
}
