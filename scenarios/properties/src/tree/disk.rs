//! A real tree, read whole: every path below a directory with everything that the kernel says of it.

use std::os::fd::AsFd;

use layerlab_model::inode::Time;
use layerlab_model::text::Text;
use rustix::fs::{self, AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::{Attributes, Facts, Marks, NOT_THERE, Tree, When, whiteout};

/// Longest list of names of extended attributes, and longest value, that the kernel gives.
const XATTR_BYTES_MAX: usize = 64 << 10;

/// xfs lists access control lists by the names that it has for them, too (`__xfs_xattr_put_listent` of `fs/xfs/xfs_xattr.c`).
const XFS_LISTS: [&[u8]; 2] = [b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"];

/// What really is below `root`. The thread's working directory is `root` afterwards.
pub fn of_disk(root: impl AsFd) -> Result<Tree, Errno> {
    rustix::process::fchdir(root)?;
    let mut tree = Tree::new();
    let mut names = vec![0; XATTR_BYTES_MAX];
    let mut open = vec![(Text::default(), FileType::Directory, None)];
    while let Some((path, listed, listed_inode)) = open.pop() {
        let mut facts = facts(&path, &mut names)?;
        facts.is_listed_with_its_inode = listed_inode.is_none_or(|inode| inode == facts.identity.1);
        facts.is_listed_as_what_it_is = listed == FileType::Unknown || letter(listed) == letter_of(facts.kind);
        if facts.kind == 'd' {
            let directory = fs::open(at(&path), OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
            for entry in Dir::new(directory)? {
                let entry = entry?;
                let name = entry.file_name().to_bytes().to_vec();
                if name != b"." && name != b".." {
                    let path = if path.0.is_empty() { Text(name) } else { path.join(&Text(name)) };
                    open.push((path, entry.file_type(), Some(entry.ino())));
                }
            }
        }
        tree.insert(path, facts);
    }
    Ok(tree)
}

fn at(path: &Text) -> &[u8] {
    if path.0.is_empty() { b"." } else { &path.0 }
}

fn facts(path: &Text, names: &mut [u8]) -> Result<Facts, Errno> {
    let stat = match fs::statat(CWD, at(path), AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(Facts { kind: NOT_THERE, ..whiteout() }),
        stat => stat?,
    };
    let device = (fs::major(stat.st_rdev), fs::minor(stat.st_rdev));
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice if device == (0, 0) => return Ok(whiteout()),
        kind => letter(kind),
    };
    let content = match kind {
        '-' => read(path, stat.st_size as usize)?,
        'l' => fs::readlink(at(path), Vec::new())?.into_bytes(),
        _ => Vec::new(),
    };
    let (xattrs, marks, private) = attributes(path, names)?;
    Ok(Facts {
        kind,
        mode: stat.st_mode & 0o7777,
        owner: (stat.st_uid, stat.st_gid),
        mtime: When::Time(Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 }),
        content,
        device,
        links: if kind == 'd' { 0 } else { stat.st_nlink },
        identity: (stat.st_dev, stat.st_ino),
        xattrs,
        marks,
        private,
        is_listed_as_what_it_is: true,
        is_listed_with_its_inode: true,
    })
}

/// As in `ls`, but `-` for a file.
pub fn letter(kind: FileType) -> char {
    match kind {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Unknown => '?',
    }
}

/// A whiteout is a character device to those who do not know better.
fn letter_of(kind: char) -> char {
    if kind == 'w' { 'c' } else { kind }
}

fn read(path: &Text, size_bytes: usize) -> Result<Vec<u8>, Errno> {
    let file = fs::open(at(path), OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    content(file, size_bytes)
}

/// All that is in `file`, which may have grown since it had this size.
pub(crate) fn content(file: impl AsFd, size_bytes: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; size_bytes + 1];
    let mut filled = 0;
    loop {
        match rustix::io::read(&file, &mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
        if filled == bytes.len() {
            bytes.resize(2 * filled, 0);
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn attributes(path: &Text, names: &mut [u8]) -> Result<(Attributes, Marks, Attributes), Errno> {
    let length = match fs::llistxattr(at(path), &mut *names) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let (mut xattrs, mut marks, mut privates) = (Attributes::new(), Marks::default(), Attributes::new());
    let all: Vec<Vec<u8>> = names[..length].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    for name in all.iter().filter(|name| !name.is_empty()) {
        let private = [&b"trusted.overlay."[..], b"user.overlay."].iter().find_map(|prefix| name.strip_prefix(*prefix));
        match private {
            Some(b"opaque") => marks.opaque = true,
            Some(b"redirect") => marks.redirect = true,
            Some(b"metacopy") => marks.metacopy = true,
            Some(b"origin" | b"impure" | b"nlink" | b"uuid") => {}
            None if XFS_LISTS.contains(&name.as_slice()) => continue,
            Some(_) => marks.unknown.push(Text(name.clone())),
            None => {}
        }
        let value = value(path, name)?;
        match private {
            Some(short) => privates.insert(Text(short.to_vec()), value),
            None => xattrs.insert(Text(name.clone()), value),
        };
    }
    Ok((xattrs, marks, privates))
}

fn value(path: &Text, name: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut value = vec![0; 4096];
    let length = match fs::lgetxattr(at(path), name, &mut value[..]) {
        Err(Errno::RANGE) => {
            value.resize(XATTR_BYTES_MAX, 0);
            fs::lgetxattr(at(path), name, &mut value[..])?
        }
        length => length?,
    };
    value.truncate(length);
    Ok(value)
}
