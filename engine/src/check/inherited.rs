//! What a whole tree has from the layer below, compared with that layer.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::attributes::has_same_capabilities;

const BUFFER_BYTES: usize = 64 << 10;

/// In what a file that a whole tree has from the layer below differs from that layer's. Times of directories move with what a layer
/// puts into them; of xattrs Docker's copies have the capabilities only.
pub(super) fn inherited(meta: &Metadata, lower: &Metadata, path: &Path, below: &Path) -> Option<String> {
    if (meta.dev(), meta.ino()) == (lower.dev(), lower.ino()) {
        return None;
    }
    if meta.file_type() != lower.file_type() {
        return Some("is something else there".to_owned());
    }
    if meta.file_type().is_symlink() {
        return (fs::read_link(path).ok() != fs::read_link(below).ok()).then(|| "leads elsewhere there".to_owned());
    }
    let is_same = meta.mode() == lower.mode() && (meta.uid(), meta.gid()) == (lower.uid(), lower.gid());
    if !is_same || meta.rdev() != lower.rdev() {
        return Some("has another owner or mode there".to_owned());
    }
    if meta.is_file() && (meta.len() != lower.len() || !same_bytes(path, below).unwrap_or(false)) {
        return Some("has other bytes there".to_owned());
    }
    if !meta.is_dir() && (meta.mtime(), meta.mtime_nsec()) != (lower.mtime(), lower.mtime_nsec()) {
        return Some("has another time there".to_owned());
    }
    (meta.is_file() && !has_same_capabilities(path, below)).then(|| "has other capabilities there".to_owned())
}

fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (io::BufReader::new(File::open(one)?), io::BufReader::new(File::open(other)?));
    let (mut left, mut right) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(other.read(&mut right[..1])? == 0);
        }
        if other.read_exact(&mut right[..count]).is_err() || left[..count] != right[..count] {
            return Ok(false);
        }
    }
}
