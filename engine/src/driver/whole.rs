//! What the drivers share whose layers are whole trees side by side, `vfs` and `btrfs`: only a comparison tells what is a layer's own.

use std::fs;
use std::io;
use std::path::Path;

use super::files::{self, failed};
use super::{DriverError, merged};
use crate::layer::{ChangeKind, Packed, changes, pack_changes};

/// What the layer below a container's own is called, behind its name.
const INIT: &str = "-init";

/// Writes the layer tar of what the tree `id` in `home` has otherwise than `parent`.
pub(super) fn pack(
    home: &Path,
    id: &str,
    parent: Option<&str>,
    out: &mut dyn io::Write,
) -> Result<Packed, DriverError> {
    let layer = home.join(id);
    let found = match parent {
        Some(parent) => changes(&home.join(parent), &layer)?,
        None => {
            let nothing = tempfile::tempdir_in(home).map_err(failed("create", home))?;
            changes(nothing.path(), &layer)?
        }
    };
    merged::with_pack_options(|options| Ok(pack_changes(&layer, &found, options, out)?))
}

/// Bytes of the regular files of the tree `id`; of a container's own layer only what differs from the one below it is its own.
pub(super) fn own_size_bytes(home: &Path, id: &str) -> Result<u64, DriverError> {
    let (layer, below) = (home.join(id), home.join(format!("{id}{INIT}")));
    if !below.is_dir() {
        return files::size_below(&layer).map_err(failed("measure", &layer));
    }
    let mut size_bytes = 0;
    for change in changes(&below, &layer)?.iter().filter(|change| change.kind != ChangeKind::Deleted) {
        let path = layer.join(change.path.strip_prefix("/").unwrap_or(&change.path));
        let meta = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        size_bytes += if meta.is_file() { meta.len() } else { 0 };
    }
    Ok(size_bytes)
}
