//! Small file operations that storage drivers share.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{IFlags, OFlags, ioctl_getflags, ioctl_setflags};

use super::DriverError;

/// Adds the operation and the path to an I/O error.
pub(super) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DriverError {
    let path = path.to_owned();
    move |source| DriverError::Io { operation, path, source }
}

/// Makes one directory with exactly this mode, whatever the umask.
pub(super) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().mode(mode).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

/// For what may have been made before.
pub(super) fn exists_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// For what may have been removed before.
pub(super) fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Writes a file with this mode, replacing what it held.
pub(super) fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), DriverError> {
    let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    open.and_then(|mut file| io::Write::write_all(&mut file, content)).map_err(failed("write", path))
}

/// The sum of the sizes of all but directories, each hard-linked file once; a symbolic link is as long as its target, as for
/// dockerd (`directory.Size`).
pub(super) fn size_below(directory: &Path) -> io::Result<u64> {
    let mut seen = std::collections::HashSet::new();
    let mut pending = vec![directory.to_owned()];
    let mut size_bytes = 0;
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                pending.push(entry.path());
            } else if meta.nlink() == 1 || seen.insert(meta.ino()) {
                size_bytes += meta.len();
            }
        }
    }
    Ok(size_bytes)
}

/// Removes all of a tree. Files and directories that are immutable or to be appended to only (chattr(1)) are freed of that first.
pub(super) fn remove_tree(tree: &Path) -> io::Result<()> {
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            free(tree)?;
            fs::remove_dir_all(tree)
        }
        removed => removed,
    }
}

/// Takes the attributes away that forbid a removal, where this user may.
fn free(directory: &Path) -> io::Result<()> {
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let meta = fs::symlink_metadata(&path)?;
        if !meta.is_dir() && !meta.is_file() {
            continue;
        }
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let open = fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(&path);
        // Who may not look gets the reason from the removal itself.
        let Ok(open) = open else { continue };
        if let Ok(attributes) = ioctl_getflags(&open) {
            let freed = attributes.difference(IFlags::IMMUTABLE | IFlags::APPEND);
            if freed != attributes {
                ioctl_setflags(&open, freed)?;
            }
        }
        if meta.is_dir() {
            pending.extend(
                fs::read_dir(&path)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?,
            );
        }
    }
    Ok(())
}

/// The names in a directory.
pub(super) fn names_in(directory: &Path) -> Result<Vec<String>, DriverError> {
    let entries = fs::read_dir(directory).map_err(failed("list", directory))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect::<io::Result<_>>().map_err(failed("list", directory))
}

/// Docker's name of the file system that holds `path` (`statfs(2)`, `f_type`).
pub(super) fn backing_file_system(path: &Path) -> String {
    let Ok(found) = rustix::fs::statfs(path) else { return "<unknown>".to_owned() };
    let known = [
        (0x0000_ef53, "extfs"),
        (0x5846_5342, "xfs"),
        (0x9123_683e, "btrfs"),
        (0x0102_1994, "tmpfs"),
        (0x794c_7630, "overlayfs"),
        (0x2fc1_2fc1, "zfs"),
        (0xf2f5_2010, "f2fs"),
    ];
    let name = known.iter().find(|(magic, _)| *magic == found.f_type).map(|(_, name)| *name);
    name.map_or_else(|| format!("0x{:x}", found.f_type), str::to_owned)
}
