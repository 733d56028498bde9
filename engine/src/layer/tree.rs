//! Whole trees for drivers that keep one per layer: copying a tree, with hard links or file by file, and laying an
//! unpacked layer over it.
//!
//! *Holds*: files are never written in place, so a file that a copy shares with its original by a hard link keeps its
//! content, owner, mode and times there: a new name replaces the old one. *Never*: a symlink is followed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::root;
use super::whiteout::{Hides, OverlayXattr};
use crate::sys::reason::reason;

/// A tree that could not be copied or changed. Paths are relative to it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {} of the layer: {}", path.display(), reason(.source))]
pub struct TreeError {
    operation: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// What a copy of a tree has of its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Further names of the same files.
    Linked,
    /// Files of its own, with the same content, attributes and link groups.
    Copied,
}

/// Copies what is in the directory `from`, and its attributes, to the empty directory `to`. Directories, symlinks and
/// device nodes are always new. Of the marks of an overlay, as `marks` says, only that of opaque directories is taken along.
pub fn copy_tree(from: &Path, to: &Path, files: Files, marks: OverlayXattr) -> Result<(), TreeError> {
    let mut copy = Copy { files, marks: (marks, Opaque::Kept), first_names: HashMap::new(), to: open_root(to)? };
    let (from, to) = (open_root(from)?, open_root(to)?);
    copy.directory(from.as_fd(), to.as_fd(), Path::new(""))?;
    let here = Path::new("");
    let stat = fs::fstat(&from).map_err(error("look at", here))?;
    give_attributes(&stat, from.as_fd(), to.as_fd(), OsStr::new("."), here, copy.marks)
}

/// The note in a directory that it stays what it is below: no file of a layer is called so, since names that begin so are aufs's own.
pub const STAYS: &str = ".wh..wh.stays";

/// Moves what was unpacked at `content` into the whole tree `tree`: whiteouts and opaque directories, marked as `marks`
/// says, remove what they hide, and other entries replace what has their name; a directory with the note [`STAYS`] leaves one that is there as
/// it was. No mark and no note is left. `content` is used up.
pub fn lay_over(content: &Path, tree: &Path, marks: OverlayXattr) -> Result<(), TreeError> {
    let mut copy = Copy {
        files: Files::Copied,
        marks: (marks, Opaque::Dropped),
        first_names: HashMap::new(),
        to: open_root(tree)?,
    };
    let (content, tree) = (open_root(content)?, open_root(tree)?);
    let here = Path::new("");
    // Before anything moves, which changes the time of both.
    let (stat, below) = (fs::fstat(&content), fs::fstat(&tree));
    let (stat, below) = (stat.map_err(error("look at", here))?, below.map_err(error("look at", here))?);
    let stays = take_note(content.as_fd(), here)?;
    lay_directory_over(content.as_fd(), tree.as_fd(), here, marks, &mut copy)?;
    let (wanted, stat) = if stays { (&tree, below) } else { (&content, stat) };
    finish_directory(&stat, wanted.as_fd(), tree.as_fd(), OsStr::new("."), here, copy.marks)
}

/// Takes the note away that a directory stays what it is below. True if there was one.
fn take_note(content: BorrowedFd<'_>, path: &Path) -> Result<bool, TreeError> {
    match fs::unlinkat(content, STAYS, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(error("read the note in", path)(errno)),
    }
}

/// What becomes of the mark of an opaque directory in a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opaque {
    /// It is wanted there too.
    Kept,
    /// What it says was done.
    Dropped,
}

/// Calls itself for each directory, however deep they lie, and so leaves all that takes room on the stack to others.
fn lay_directory_over(
    content: BorrowedFd<'_>,
    tree: BorrowedFd<'_>,
    path: &Path,
    marks: OverlayXattr,
    copy: &mut Copy,
) -> Result<(), TreeError> {
    empty_if_opaque(content, tree, path, marks)?;
    for name in root::sorted_names(content).map_err(error("list", path))? {
        let path = path.join(&name);
        let Some((stat, below)) = lay_entry_over(content, tree, &name, &path, marks, copy)? else { continue };
        let open = |parent| root::open_real_directory(parent, &name).map_err(error("open", &path));
        let inside = open(content)?;
        let stays = take_note(inside.as_fd(), &path)?;
        lay_directory_over(inside.as_fd(), open(tree)?.as_fd(), &path, marks, copy)?;
        match below.filter(|_| stays) {
            Some(below) => finish_directory(&below, tree, tree, &name, &path, copy.marks)?,
            None => finish_directory(&stat, content, tree, &name, &path, copy.marks)?,
        }
    }
    Ok(())
}

#[inline(never)]
fn empty_if_opaque(
    content: BorrowedFd<'_>,
    tree: BorrowedFd<'_>,
    path: &Path,
    marks: OverlayXattr,
) -> Result<(), TreeError> {
    if marks.is_opaque(content, OsStr::new(".")).map_err(error("read the marks of", path))? {
        for name in root::sorted_names(tree).map_err(error("list", path))? {
            root::remove(tree, &name, &mut |_| {}).map_err(error("remove", &path.join(&name)))?;
        }
    }
    Ok(())
}

/// Puts what `name` is in `content` in its place in `tree`; of a directory, whose content is still to be laid over, what it
/// was before that, and what the one was that is there.
#[inline(never)]
fn lay_entry_over(
    content: BorrowedFd<'_>,
    tree: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    marks: OverlayXattr,
    copy: &mut Copy,
) -> Result<Option<(Stat, Option<Stat>)>, TreeError> {
    let Some(stat) = root::stat(content, name).map_err(error("look at", path))? else { return Ok(None) };
    match marks.hides(name, &stat) {
        Some(Hides::Name(hidden)) => {
            root::remove(tree, hidden, &mut |_| {}).map_err(error("remove what is hidden by", path))?;
            return Ok(None);
        }
        Some(Hides::Below) => return Ok(None),
        None => {}
    }
    let below = root::stat(tree, name).map_err(error("look at", path))?;
    let is_directory = root::file_type(&stat) == FileType::Directory;
    let below = below.filter(|below| is_directory && root::file_type(below) == FileType::Directory);
    if below.is_none() {
        root::remove(tree, name, &mut |_| {}).map_err(error("replace", path))?;
    }
    match is_directory {
        true if below.is_some() => {}
        true => fs::mkdirat(tree, name, Mode::RWXU).map_err(error("make the directory", path))?,
        // Between subvolumes of one file system nothing is moved.
        false => match fs::renameat(content, name, tree, name) {
            Err(Errno::XDEV) => copy.entry(&stat, content, tree, name, path)?,
            moved => moved.map_err(error("move", path))?,
        },
    }
    Ok(is_directory.then_some((stat, below)))
}

/// Gives a directory what the one that was laid over it has, and takes away what that has not.
#[inline(never)]
fn finish_directory(
    stat: &Stat,
    content: BorrowedFd<'_>,
    tree: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    marks: (OverlayXattr, Opaque),
) -> Result<(), TreeError> {
    drop_attributes(content, tree, name, path)?;
    give_attributes(stat, content, tree, name, path, marks)
}

/// Takes away from a directory that stays what the one that is laid over it has not.
fn drop_attributes(content: BorrowedFd<'_>, tree: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), TreeError> {
    let names = |fd| root::xattr_names(fd, name).map_err(error("list the xattrs of", path));
    let wanted = names(content)?;
    for xattr in names(tree)?.into_iter().filter(|xattr| !wanted.contains(xattr)) {
        match root::remove_xattr(tree, name, &xattr) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(error("remove an xattr of", path)(errno)),
        }
    }
    Ok(())
}

struct Copy {
    files: Files,
    /// Which xattrs are marks, and what becomes of them.
    marks: (OverlayXattr, Opaque),
    /// Where in the copy the first name of a file with several names is.
    first_names: HashMap<(u64, u64), PathBuf>,
    to: OwnedFd,
}

impl Copy {
    fn directory(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, path: &Path) -> Result<(), TreeError> {
        for name in root::sorted_names(from).map_err(error("list", path))? {
            let path = path.join(&name);
            if let Some(stat) = root::stat(from, &name).map_err(error("look at", &path))? {
                self.entry(&stat, from, to, &name, &path)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        stat: &Stat,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &OsStr,
        path: &Path,
    ) -> Result<(), TreeError> {
        let kind = root::file_type(stat);
        if kind == FileType::RegularFile && self.files == Files::Linked {
            return fs::linkat(from, name, to, name, AtFlags::empty()).map_err(error("link", path));
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.first_names.get(&(stat.st_dev, stat.st_ino)) {
                return fs::linkat(&self.to, first, to, name, AtFlags::empty()).map_err(error("link", path));
            }
            self.first_names.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        match kind {
            FileType::Directory => {
                fs::mkdirat(to, name, Mode::RWXU).map_err(error("make the directory", path))?;
                let open = |parent| root::open_real_directory(parent, name).map_err(error("open", path));
                self.directory(open(from)?.as_fd(), open(to)?.as_fd(), path)?;
            }
            FileType::RegularFile => copy_file(from, to, name, path)?,
            FileType::Symlink => {
                let target = fs::readlinkat(from, name, Vec::new()).map_err(error("read the link", path))?;
                fs::symlinkat(target, to, name).map_err(error("make the symlink", path))?;
            }
            _ => {
                let mode = Mode::from_raw_mode(stat.st_mode);
                fs::mknodat(to, name, kind, mode, stat.st_rdev).map_err(error("make the node", path))?;
            }
        }
        give_attributes(stat, from, to, name, path, self.marks)
    }
}

fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &OsStr, path: &Path) -> Result<(), TreeError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let source = fs::openat(from, name, flags, Mode::empty()).map_err(error("open", path))?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let target = fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR).map_err(error("make the file", path))?;
    let copied = copy_data(&source.into(), &target.into());
    copied.map_err(|source| TreeError { operation: "copy", path: path.to_owned(), source })
}

/// Copies the content of `source` to the empty file `target` and leaves holes holes; what is between them is shared with the original
/// where the file system can (copy_file_range(2)). Where both are read and written afterwards is not said.
pub fn copy_data(mut source: &File, mut target: &File) -> io::Result<()> {
    let length = source.metadata()?.len();
    target.set_len(length)?;
    let mut hole = 0;
    while hole < length {
        let data = match fs::seek(source, fs::SeekFrom::Data(hole)) {
            Err(Errno::NXIO) => return Ok(()),
            data => data?,
        };
        hole = fs::seek(source, fs::SeekFrom::Hole(data))?;
        source.seek(SeekFrom::Start(data))?;
        target.seek(SeekFrom::Start(data))?;
        io::copy(&mut source.take(hole - data), &mut target)?;
    }
    Ok(())
}

/// Owner first, since a change of it clears setuid bits and capabilities; times last, since all else moves them.
fn give_attributes(
    stat: &Stat,
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    (marks, opaque): (OverlayXattr, Opaque),
) -> Result<(), TreeError> {
    let (uid, gid) = (Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)));
    fs::chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).map_err(error("set the owner of", path))?;
    let wanted = root::xattr_names(from, name).map_err(error("list the xattrs of", path))?;
    // What is made in a directory with a default access control list has one from there (acl(5)).
    for inherited in root::ACLS.iter().filter(|acl| !wanted.iter().any(|wanted| wanted == *acl)) {
        match root::remove_xattr(to, name, inherited) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(error("remove an xattr of", path)(errno)),
        }
    }
    for xattr in wanted {
        let is_wanted = opaque == Opaque::Kept && marks.opaque() == Some(&xattr);
        if marks.is_mark(xattr.as_bytes()) && !is_wanted {
            continue;
        }
        let Some(value) = root::xattr(from, name, &xattr).map_err(error("read an xattr of", path))? else { continue };
        match root::set_xattr(to, name, xattr.as_bytes(), &value) {
            // What this user could not give to the original either: the file system or a security module gave it.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(error("set an xattr of", path)(errno)),
        }
    }
    if root::file_type(stat) != FileType::Symlink {
        let mode = Mode::from_raw_mode(stat.st_mode);
        fs::chmodat(to, name, mode, AtFlags::empty()).map_err(error("set the mode of", path))?;
    }
    let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
    let times = Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    };
    fs::utimensat(to, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(error("set the time of", path))
}

fn open_root(path: &Path) -> Result<OwnedFd, TreeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty()).map_err(error("open", path))
}

fn error(operation: &'static str, path: &Path) -> impl Fn(Errno) -> TreeError {
    let path = path.to_owned();
    move |errno| TreeError { operation, path: path.clone(), source: errno.into() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn inode(path: PathBuf) -> u64 {
        fs::symlink_metadata(path).unwrap().ino()
    }

    fn scene() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for directory in ["from/d", "to", "content/d"] {
            fs::create_dir_all(place.path().join(directory)).unwrap();
        }
        fs::write(place.path().join("from/a"), "old").unwrap();
        fs::write(place.path().join("from/d/b"), "below").unwrap();
        fs::hard_link(place.path().join("from/a"), place.path().join("from/d/a2")).unwrap();
        symlink("a", place.path().join("from/s")).unwrap();
        fs::set_permissions(place.path().join("from/d"), fs::Permissions::from_mode(0o1711)).unwrap();
        place
    }

    #[test]
    fn a_linked_copy_shares_files_and_has_its_own_directories_and_symlinks() {
        let place = scene();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        copy_tree(&from, &to, Files::Linked, OverlayXattr::User).unwrap();
        assert_eq!(inode(from.join("d/b")), inode(to.join("d/b")));
        assert_ne!(inode(from.join("s")), inode(to.join("s")));
        assert_ne!(inode(from.join("d")), inode(to.join("d")));
        assert_eq!(fs::metadata(to.join("d")).unwrap().mode(), fs::metadata(from.join("d")).unwrap().mode());
        assert_eq!(
            fs::metadata(to.join("d")).unwrap().mtime_nsec(),
            fs::metadata(from.join("d")).unwrap().mtime_nsec()
        );
    }

    #[test]
    fn a_full_copy_has_every_xattr() {
        let place = scene();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        let set = |path: &Path, name: &str| rustix::fs::setxattr(path, name, b"value", rustix::fs::XattrFlags::empty());
        for path in [&from, &from.join("a"), &from.join("d")] {
            match set(path, "user.one").and_then(|()| set(path, "user.two")) {
                Err(Errno::OPNOTSUPP) => return,
                set => set.unwrap(),
            }
        }
        copy_tree(&from, &to, Files::Copied, OverlayXattr::None).unwrap();
        for (path, name) in [(&to, "user.two"), (&to.join("a"), "user.one"), (&to.join("d"), "user.two")] {
            let mut value = [0; 8];
            let length = rustix::fs::getxattr(path, name, &mut value[..]).unwrap();
            assert_eq!(&value[..length], b"value");
        }
    }

    /// Checklist: HL-11
    #[test]
    fn a_full_copy_shares_nothing_and_keeps_link_groups() {
        let place = scene();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        copy_tree(&from, &to, Files::Copied, OverlayXattr::None).unwrap();
        assert_ne!(inode(from.join("a")), inode(to.join("a")));
        assert_eq!(inode(to.join("a")), inode(to.join("d/a2")));
        assert_eq!(fs::read_to_string(to.join("d/b")).unwrap(), "below");
    }

    #[test]
    fn what_is_laid_over_a_linked_copy_leaves_the_original_alone() {
        let place = scene();
        let at = |path: &str| place.path().join(path);
        copy_tree(&at("from"), &at("to"), Files::Linked, OverlayXattr::User).unwrap();
        fs::write(at("content/a"), "new and longer").unwrap();
        fs::write(at("content/d/c"), "added").unwrap();
        fs::create_dir(at("content/s")).unwrap();
        lay_over(&at("content"), &at("to"), OverlayXattr::User).unwrap();
        assert_eq!(fs::read_to_string(at("from/a")).unwrap(), "old");
        assert_eq!(fs::read_to_string(at("from/d/a2")).unwrap(), "old");
        assert_eq!(fs::read_to_string(at("to/a")).unwrap(), "new and longer");
        assert_eq!(fs::read_to_string(at("to/d/a2")).unwrap(), "old");
        assert!(at("to/d/b").exists() && at("to/d/c").exists() && at("to/s").is_dir());
        assert!(!at("from/d/c").exists() && fs::symlink_metadata(at("from/s")).unwrap().is_symlink());
    }
}
