//! Subvolumes of btrfs: trees that are copied without their content being copied.
//!
//! Source: btrfs-subvolume(8), `BTRFS_IOC_SUBVOL_CREATE(2)` and `include/uapi/linux/btrfs.h`.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// `BTRFS_SUPER_MAGIC`, as statfs(2) tells it.
const MAGIC: u64 = 0x9123_683e;
/// `BTRFS_PATH_NAME_MAX`, without the zero at the end.
const NAME_MAX_BYTES: usize = 4087;

/// `struct btrfs_ioctl_vol_args`
#[repr(C)]
struct Arguments {
    fd: i64,
    name: [u8; NAME_MAX_BYTES + 1],
}

nix::ioctl_write_ptr!(snapshot_create, 0x94, 1, Arguments);
nix::ioctl_write_ptr!(subvolume_create, 0x94, 14, Arguments);
nix::ioctl_write_ptr!(subvolume_destroy, 0x94, 15, Arguments);

/// Whether `path` lies on btrfs.
pub fn is_below(path: &Path) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| found.f_type.cast_unsigned() == MAGIC)
}

/// Whether `path` is a subvolume, and no directory in one (`BTRFS_FIRST_FREE_OBJECTID`: the number of every subvolume's root).
pub fn is_subvolume(path: &Path) -> bool {
    let is_root = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.ino() == 256);
    is_root && is_below(path)
}

/// Makes the empty subvolume `path`.
pub fn create(path: &Path) -> io::Result<()> {
    let (parent, arguments) = arguments(path, 0)?;
    // SAFETY: the argument is what this request takes, and lives until it returns.
    unsafe { subvolume_create(parent.as_raw_fd(), &raw const arguments) }?;
    Ok(())
}

/// Makes the subvolume `path`, which holds what the subvolume `of` holds now; both can be written to.
pub fn snapshot(of: &Path, path: &Path) -> io::Result<()> {
    let of = directory(of)?;
    let (parent, arguments) = arguments(path, i64::from(of.as_raw_fd()))?;
    // SAFETY: as above; `of` is open until the request returns.
    unsafe { snapshot_create(parent.as_raw_fd(), &raw const arguments) }?;
    Ok(())
}

/// Removes the subvolume `path` with all that is in it but other subvolumes. Who is not root may do so only where it is mounted with
/// `user_subvol_rm_allowed`.
pub fn remove(path: &Path) -> io::Result<()> {
    let (parent, arguments) = arguments(path, 0)?;
    // SAFETY: as above.
    unsafe { subvolume_destroy(parent.as_raw_fd(), &raw const arguments) }?;
    Ok(())
}

/// The open directory that `path` is in, and its name there.
fn arguments(path: &Path, fd: i64) -> io::Result<(OwnedFd, Arguments)> {
    let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
    if name.is_empty() || name.len() > NAME_MAX_BYTES {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let mut arguments = Arguments { fd, name: [0; NAME_MAX_BYTES + 1] };
    arguments.name[..name.len()].copy_from_slice(name);
    Ok((directory(path.parent().unwrap_or(Path::new(".")))?, arguments))
}

fn directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}
