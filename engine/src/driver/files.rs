//! Small file operations that storage drivers share.

use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::hash::Hash;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

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

/// What files count for that dockerd measures (`directory.Size`, `archive.ChangesSize`): each file once, however many names it has, a symbolic
/// link with the length of its target, a directory not at all. `files`: what is the same for all names of a file, and its length.
pub(crate) fn counted_bytes<Identity: Eq + Hash>(files: impl IntoIterator<Item = (Identity, u64)>) -> u64 {
    let mut seen = HashSet::new();
    files.into_iter().filter_map(|(file, length)| seen.insert(file).then_some(length)).sum()
}

/// What tells a file from others, and its length; nothing of a directory.
pub(super) fn counted(meta: &Metadata) -> Option<((u64, u64), u64)> {
    (!meta.is_dir()).then(|| ((meta.dev(), meta.ino()), meta.len()))
}

/// [`counted_bytes`] of all below a directory.
pub(crate) fn size_below(directory: &Path) -> io::Result<u64> {
    let mut files = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                pending.push(entry.path());
            }
            files.extend(counted(&meta));
        }
    }
    Ok(counted_bytes(files))
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
