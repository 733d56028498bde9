//! What the drivers share for which only a comparison of whole trees tells what is a layer's own: `vfs`, `btrfs`, `overlay` and
//! `fuse-overlayfs`.

use std::fs;
use std::io;
use std::path::Path;

use super::files::{self, failed};
use super::{DriverError, merged};
use crate::layer::{ChangeKind, Packed, changes, pack_changes};

/// What the layer below a container's own is called, behind its name.
const INIT: &str = "-init";

/// The name of the layer below a container's own, `id`.
pub(super) fn init_of(id: &str) -> String {
    format!("{id}{INIT}")
}

/// Writes the layer tar of what the tree `id` in `home` has otherwise than `parent`.
pub(super) fn pack(
    home: &Path,
    id: &str,
    parent: Option<&str>,
    out: &mut dyn io::Write,
) -> Result<Packed, DriverError> {
    pack_difference(parent.map(|parent| home.join(parent)).as_deref(), &home.join(id), home, out)
}

/// Writes the layer tar of what `tree` has otherwise than the tree `below`, or than nothing; `scratch` is a place for a moment.
pub(super) fn pack_difference(
    below: Option<&Path>,
    tree: &Path,
    scratch: &Path,
    out: &mut dyn io::Write,
) -> Result<Packed, DriverError> {
    let found = match below {
        Some(below) => changes(below, tree)?,
        None => {
            let nothing = tempfile::tempdir_in(scratch).map_err(failed("create", scratch))?;
            changes(nothing.path(), tree)?
        }
    };
    merged::with_pack_options(|options| Ok(pack_changes(tree, &found, options, out)?))
}

/// Bytes of the regular files of the tree `id`; of a container's own layer only what differs from the one below it is its own.
pub(super) fn own_size_bytes(home: &Path, id: &str) -> Result<u64, DriverError> {
    let (layer, below) = (home.join(id), home.join(init_of(id)));
    if !below.is_dir() {
        return files::size_below(&layer).map_err(failed("measure", &layer));
    }
    difference_bytes(&below, &layer)
}

/// Bytes of the regular files that `tree` has otherwise than the tree `below`.
pub(super) fn difference_bytes(below: &Path, tree: &Path) -> Result<u64, DriverError> {
    let mut size_bytes = 0;
    for change in changes(below, tree)?.iter().filter(|change| change.kind != ChangeKind::Deleted) {
        let path = tree.join(change.path.strip_prefix("/").unwrap_or(&change.path));
        let meta = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        size_bytes += if meta.is_file() { meta.len() } else { 0 };
    }
    Ok(size_bytes)
}
