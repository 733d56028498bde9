//! Removes a tree even where files in it were made immutable (chattr(1)): a container's root may do that, and its files must go all the same.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{IFlags, OFlags, ioctl_getflags, ioctl_setflags};

/// Removes all of a tree. Files and directories that are immutable or to be appended to only are freed of that first.
pub fn remove_tree(tree: &Path) -> io::Result<()> {
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
