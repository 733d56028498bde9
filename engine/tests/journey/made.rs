//! Makes and changes files as a process does, by system calls, with every attribute.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, chmodat, llistxattr, lremovexattr, lsetxattr,
    makedev, mknodat, utimensat,
};

use super::node::{Content, Kind, Node};

/// What a process does to a tree.
#[derive(Debug, Clone)]
pub enum Act {
    /// A new file; nothing has its name.
    Make(PathBuf, Node),
    Link {
        path: PathBuf,
        of: PathBuf,
    },
    Remove(PathBuf),
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    /// Writes to the file that is there, and gives it these attributes.
    Change(PathBuf, Node),
}

/// Does it below `root`.
pub fn perform(act: &Act, root: &Path) -> io::Result<()> {
    match act {
        Act::Make(path, node) => make(&root.join(path), node),
        Act::Link { path, of } => fs::hard_link(root.join(of), root.join(path)),
        Act::Remove(path) => {
            let path = root.join(path);
            if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
        }
        Act::Rename { from, to } => fs::rename(root.join(from), root.join(to)),
        Act::Change(path, node) => {
            let path = root.join(path);
            if let Kind::File(content) = &node.kind {
                write(&OpenOptions::new().write(true).open(&path)?, content)?;
            }
            give(&path, node)
        }
    }
}

fn make(path: &Path, node: &Node) -> io::Result<()> {
    let device = |kind, number| Ok(mknodat(CWD, path, kind, Mode::RUSR, number)?);
    match &node.kind {
        Kind::Directory => fs::create_dir(path),
        Kind::File(content) => write(&File::create_new(path)?, content),
        Kind::Symlink(target) => symlink(target, path),
        Kind::Char(major, minor) => device(FileType::CharacterDevice, makedev(*major, *minor)),
        Kind::Block(major, minor) => device(FileType::BlockDevice, makedev(*major, *minor)),
        Kind::Fifo => device(FileType::Fifo, 0),
        Kind::Socket => UnixListener::bind(path).map(drop),
    }?;
    give(path, node)
}

fn write(file: &File, content: &Content) -> io::Result<()> {
    file.set_len(content.size_bytes)?;
    for (at, block) in &content.blocks {
        let length = usize::try_from(content.size_bytes - at).unwrap_or(block.len()).min(block.len());
        file.write_all_at(&block[..length], *at)?;
    }
    Ok(())
}

/// Owner first, since a change of it clears bits and capabilities; times last.
fn give(path: &Path, node: &Node) -> io::Result<()> {
    lchown(path, Some(node.owner.0), Some(node.owner.1))?;
    let mut names = vec![0; 64 << 10];
    let length = llistxattr(path, &mut names)?;
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if !node.xattrs.contains_key(&*String::from_utf8_lossy(name)) {
            lremovexattr(path, OsStr::from_bytes(name))?;
        }
    }
    for (name, value) in &node.xattrs {
        lsetxattr(path, name.as_str(), value, XattrFlags::empty())?;
    }
    if !matches!(node.kind, Kind::Symlink(_)) {
        chmodat(CWD, path, Mode::from_raw_mode(node.mode), AtFlags::empty())?;
    }
    give_time(path, node)
}

/// What comes and goes in a directory moves its time.
pub fn give_time(path: &Path, node: &Node) -> io::Result<()> {
    let time = Timespec { tv_sec: node.time.0, tv_nsec: i64::from(node.time.1) };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
