//! Reads a tree from a file system, with every attribute.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{SeekFrom, lgetxattr, llistxattr, seek};
use rustix::io::Errno;

use super::node::{BLOCK_BYTES, Content, Kind, Node, Tree};

/// From here on it is asked whether a file has holes.
const LONG_BYTES: u64 = 1 << 20;

/// Everything at and below `top` of the tree at `root`, by paths below `root`.
pub fn tree(root: &Path, top: &Path) -> io::Result<Tree> {
    let mut tree = Tree::default();
    let mut first_names: HashMap<(u64, u64), PathBuf> = HashMap::new();
    let mut pending = vec![top.to_owned()];
    while let Some(path) = pending.pop() {
        let full = root.join(&path);
        let meta = fs::symlink_metadata(&full)?;
        let first = first_names.entry((meta.dev(), meta.ino())).or_insert_with(|| path.clone()).clone();
        if first != path {
            tree.link(&path, &first);
            continue;
        }
        tree.put(&path, node(&full, &meta)?);
        if meta.is_dir() {
            for entry in fs::read_dir(&full)? {
                pending.push(path.join(entry?.file_name()));
            }
        }
    }
    Ok(tree)
}

fn node(path: &Path, meta: &fs::Metadata) -> io::Result<Node> {
    let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
    let is = meta.file_type();
    let kind = match () {
        () if is.is_dir() => Kind::Directory,
        () if is.is_symlink() => Kind::Symlink(fs::read_link(path)?.display().to_string()),
        () if is.is_char_device() => Kind::Char(major, minor),
        () if is.is_block_device() => Kind::Block(major, minor),
        () if is.is_fifo() => Kind::Fifo,
        () if is.is_socket() => Kind::Socket,
        () => Kind::File(content(path, meta)?),
    };
    let time = (meta.mtime(), u32::try_from(meta.mtime_nsec()).unwrap_or(u32::MAX));
    Ok(Node { kind, mode: meta.mode() & 0o7777, owner: (meta.uid(), meta.gid()), time, xattrs: xattrs(path)? })
}

fn content(path: &Path, meta: &fs::Metadata) -> io::Result<Content> {
    let file = File::open(path)?;
    let size_bytes = meta.len();
    let mut content = Content { size_bytes, ..Content::default() };
    content.has_holes = size_bytes >= LONG_BYTES && meta.blocks() * 512 < size_bytes / 2;
    let mut at = 0;
    while at < size_bytes {
        at = match seek(&file, SeekFrom::Data(at)) {
            Ok(data) => data / BLOCK_BYTES as u64 * BLOCK_BYTES as u64,
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno.into()),
        };
        let end = seek(&file, SeekFrom::Hole(at)).unwrap_or(size_bytes).max(at + 1);
        while at < end {
            let mut block = vec![0; BLOCK_BYTES];
            let length = usize::try_from(size_bytes - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            file.read_exact_at(&mut block[..length], at)?;
            if block.iter().any(|byte| *byte != 0) {
                content.blocks.insert(at, block);
            }
            at += BLOCK_BYTES as u64;
            if at >= size_bytes {
                break;
            }
        }
    }
    Ok(content)
}

/// All of them, but what a security module of the host gives.
fn xattrs(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = vec![0; 64 << 10];
    let length = match llistxattr(path, &mut names) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => listed?,
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 << 10];
        let length = lgetxattr(path, OsStr::from_bytes(name), &mut value)?;
        value.truncate(length);
        let name = String::from_utf8_lossy(name).into_owned();
        if !name.starts_with("security.") || name == "security.capability" {
            found.insert(name, value);
        }
    }
    Ok(found)
}
