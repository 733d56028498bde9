//! Parts of a tree as a plain tar: what `docker cp` carries and what a build sends and copies.
//!
//! Unlike [`super::pack`] this is no layer: no name is a whiteout, the owner may be overridden, some files left out, and
//! names in the tar are the caller's choice.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::entry::{self, OwnerNames};
use super::header::{BLOCK_BYTES, Header, TooLarge, padding_bytes};
use super::root;
use crate::sys::owners::{group_name, user_name};
use crate::sys::reason::reason;
use crate::sys::root::Root;

/// A tree that cannot be carried. Paths are relative to its root.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    #[error("{operation} {}: {}", path.display(), reason(.source))]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("{} cannot be carried: {source}", path.display())]
    Header { path: PathBuf, source: TooLarge },
    #[error("{} changed its size while it was read: try again when nobody writes it", path.display())]
    Changing { path: PathBuf },
}

/// What of a tree is carried, and whose it is then.
#[derive(Clone, Copy)]
pub struct BundleOptions<'a> {
    /// The owner of every file, instead of its own.
    pub owner: Option<(u32, u32)>,
    /// Whether a path of the tree, relative to its root, is left out; what is below is asked for by itself.
    pub leaves_out: &'a (dyn Fn(&Path) -> bool + Sync),
}

/// A tar being written.
pub struct Bundle<'a, W> {
    options: BundleOptions<'a>,
    out: W,
    first_names: HashMap<(u64, u64), Vec<u8>>,
    owners: OwnerNames,
}

impl<'a, W: Write> Bundle<'a, W> {
    pub fn new(out: W, options: BundleOptions<'a>) -> Bundle<'a, W> {
        Bundle { options, out, first_names: HashMap::new(), owners: OwnerNames::default() }
    }

    /// Adds what stands at `path` of `tree`, links not followed, and all below it, as `name`. A directory with an empty
    /// name adds only what is in it.
    pub fn add(&mut self, tree: &Root, path: &Path, name: &Path) -> Result<(), BundleError> {
        let error = |operation| {
            let path = path.to_owned();
            move |source| BundleError::Io { operation, path, source }
        };
        let Some((parent, last)) = path.parent().zip(path.file_name()) else {
            return self.add_directory(tree, path, name);
        };
        if name.as_os_str().is_empty() {
            return self.add_directory(tree, path, name);
        }
        let directory =
            tree.open_at(parent, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).map_err(error("open"))?;
        let stat = root::stat(directory.as_fd(), last).map_err(failed("stat", path))?;
        let stat = stat.ok_or(Errno::NOENT).map_err(failed("stat", path))?;
        self.entry(directory.as_fd(), last, path, name, stat)
    }

    /// Adds the regular file that `path` of `tree` leads to, links followed inside the tree, as `name`.
    pub fn add_file(&mut self, tree: &Root, path: &Path, name: &Path) -> Result<(), BundleError> {
        let io = |source| BundleError::Io { operation: "open", path: path.to_owned(), source };
        let file = File::from(tree.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).map_err(io)?);
        let stat = fs::fstat(&file).map_err(failed("stat", path))?;
        let mut header = Header {
            name: name.as_os_str().as_bytes().to_vec(),
            kind: b'0',
            mode: stat.st_mode,
            size_bytes: stat.st_size.unsigned_abs(),
            mtime_seconds: stat.st_mtime,
            ..Header::default()
        };
        (header.uid, header.gid) = self.options.owner.unwrap_or((stat.st_uid, stat.st_gid));
        self.owners.fill(&mut header, &user_name, &group_name);
        self.write_header(path, Some(header))?;
        self.copy(file, path, stat.st_size.unsigned_abs())
    }

    /// Ends the tar.
    pub fn finish(mut self) -> Result<W, BundleError> {
        self.write(Path::new(""), &[0; 2 * BLOCK_BYTES])?;
        self.out.flush().map_err(|source| BundleError::Io { operation: "write", path: PathBuf::new(), source })?;
        Ok(self.out)
    }

    fn add_directory(&mut self, tree: &Root, path: &Path, name: &Path) -> Result<(), BundleError> {
        let opened = tree.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
        let opened = opened.map_err(|source| BundleError::Io { operation: "open", path: path.to_owned(), source })?;
        if !name.as_os_str().is_empty() {
            let stat = fs::fstat(&opened).map_err(|errno| failed("stat", path)(errno))?;
            let header = self.header(opened.as_fd(), OsStr::new("."), path, name, &stat)?;
            self.write_header(path, header)?;
        }
        self.inside(opened.as_fd(), path, name)
    }

    fn inside(&mut self, directory: BorrowedFd<'_>, path: &Path, name: &Path) -> Result<(), BundleError> {
        for child in root::sorted_names(directory).map_err(failed("list", path))? {
            let path = path.join(&child);
            // What is listed and not there is passed over: overlayfs lists a whiteout that hides nothing.
            if let Some(stat) = root::stat(directory, &child).map_err(failed("stat", &path))? {
                self.entry(directory, &child, &path, &name.join(&child), stat)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        last: &OsStr,
        path: &Path,
        name: &Path,
        stat: Stat,
    ) -> Result<(), BundleError> {
        let kind = root::file_type(&stat);
        let is_left_out = (self.options.leaves_out)(path);
        if !is_left_out {
            let Some(mut header) = self.header(directory, last, path, name, &stat)? else { return Ok(()) };
            if kind != FileType::Directory && stat.st_nlink > 1 {
                match self.first_names.get(&(stat.st_dev, stat.st_ino)) {
                    Some(first) => {
                        (header.kind, header.size_bytes) = (b'1', 0);
                        header.link_name.clone_from(first);
                    }
                    None => drop(self.first_names.insert((stat.st_dev, stat.st_ino), header.name.clone())),
                }
            }
            let has_content = header.kind == b'0';
            let size_bytes = header.size_bytes;
            self.write_header(path, Some(header))?;
            if has_content {
                self.content(directory, last, path, size_bytes)?;
            }
        }
        if kind == FileType::Directory {
            let opened = root::open_real_directory(directory, last);
            // Nothing is needed from a directory that is left out and cannot be read.
            match opened {
                Err(_) if is_left_out => {}
                opened => self.inside(opened.map_err(failed("open", path))?.as_fd(), path, name)?,
            }
        }
        Ok(())
    }

    /// `None` for a socket, which no tar can hold.
    fn header(
        &mut self,
        directory: BorrowedFd<'_>,
        last: &OsStr,
        path: &Path,
        name: &Path,
        stat: &Stat,
    ) -> Result<Option<Header>, BundleError> {
        let header = entry::header(directory, last, None, name, stat).map_err(failed("read", path))?;
        Ok(header.map(|mut header| {
            self.owners.fill(&mut header, &user_name, &group_name);
            if let Some((uid, gid)) = self.options.owner {
                (header.uid, header.gid) = (uid, gid);
            }
            header
        }))
    }

    fn content(&mut self, directory: BorrowedFd<'_>, last: &OsStr, path: &Path, size: u64) -> Result<(), BundleError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(fs::openat(directory, last, flags, Mode::empty()).map_err(failed("open", path))?);
        self.copy(file, path, size)
    }

    fn copy(&mut self, mut file: File, path: &Path, size: u64) -> Result<(), BundleError> {
        let copied = io::copy(&mut Read::by_ref(&mut file).take(size), &mut self.out);
        let copied = copied.map_err(|source| BundleError::Io { operation: "read", path: path.to_owned(), source })?;
        if copied != size {
            return Err(BundleError::Changing { path: path.to_owned() });
        }
        self.write(path, &[0; BLOCK_BYTES][..padding_bytes(size) as usize])
    }

    fn write_header(&mut self, path: &Path, header: Option<Header>) -> Result<(), BundleError> {
        let Some(header) = header else { return Ok(()) };
        let blocks = header.encode().map_err(|source| BundleError::Header { path: path.to_owned(), source })?;
        self.write(path, &blocks)
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
        self.out.write_all(bytes).map_err(|source| BundleError::Io {
            operation: "write",
            path: path.to_owned(),
            source,
        })
    }
}

/// Docker's hash of one file of a build's source: its tar header without the time, and its content (`tarsum.v1`). `owner` and
/// `name` are as they would stand in the tar.
pub fn content_hash(tree: &Root, path: &Path, owner: Option<(u32, u32)>) -> Result<String, BundleError> {
    let (parent, last) = path.parent().zip(path.file_name()).unwrap_or((Path::new(""), OsStr::new(".")));
    let directory = tree.open_at(parent, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty());
    let directory = directory.map_err(|source| BundleError::Io { operation: "open", path: path.to_owned(), source })?;
    let stat = root::stat(directory.as_fd(), last).map_err(failed("stat", path))?;
    let stat = stat.ok_or(Errno::NOENT).map_err(failed("stat", path))?;
    let header = entry::header(directory.as_fd(), last, None, path, &stat).map_err(failed("read", path))?;
    let Some(mut header) = header else { return Ok(path.display().to_string()) };
    if let Some((uid, gid)) = owner {
        (header.uid, header.gid) = (uid, gid);
    }
    let mut hasher = Sha256::new();
    let (mode, uid, gid, size) = (header.mode, header.uid, header.gid, header.size_bytes);
    for (key, value) in [
        ("name", header.name.clone()),
        ("mode", mode.to_string().into_bytes()),
        ("uid", uid.to_string().into_bytes()),
        ("gid", gid.to_string().into_bytes()),
        ("size", size.to_string().into_bytes()),
        ("typeflag", vec![header.kind]),
        ("linkname", header.link_name.clone()),
        // Docker's builder leaves the names of owners out.
        ("uname", Vec::new()),
        ("gname", Vec::new()),
        ("devmajor", header.device_major.to_string().into_bytes()),
        ("devminor", header.device_minor.to_string().into_bytes()),
    ] {
        hasher.update(key.as_bytes());
        hasher.update(&value);
    }
    for (key, value) in &header.xattrs {
        hasher.update(key);
        hasher.update(value);
    }
    if header.kind == b'0' {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut file = File::from(fs::openat(&directory, last, flags, Mode::empty()).map_err(failed("open", path))?);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut buffer);
            let count = count.map_err(|source| BundleError::Io { operation: "read", path: path.to_owned(), source })?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
        }
    }
    Ok(hex::encode(hasher.finalize()))
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(Errno) -> BundleError {
    let path = path.to_owned();
    move |errno| BundleError::Io { operation, path, source: errno.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tar: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        entries.collect()
    }

    #[test]
    fn a_tree_is_carried_under_another_name_with_one_owner_and_without_what_is_left_out() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("d/e")).unwrap();
        std::fs::write(place.path().join("d/x"), "x").unwrap();
        std::fs::write(place.path().join("d/e/y"), "y").unwrap();
        let tree = Root::open(place.path()).unwrap();
        let leaves_out = |path: &Path| path == Path::new("d/x");
        let options = BundleOptions { owner: Some((7, 8)), leaves_out: &leaves_out };
        let mut bundle = Bundle::new(Vec::new(), options);
        bundle.add(&tree, Path::new("d"), Path::new("new")).unwrap();
        let tar = bundle.finish().unwrap();
        assert_eq!(names(&tar), ["new/", "new/e/", "new/e/y"]);
        let mut archive = tar::Archive::new(tar.as_slice());
        assert!(archive.entries().unwrap().all(|entry| entry.unwrap().header().uid().unwrap() == 7));
        let mut bundle = Bundle::new(Vec::new(), options);
        bundle.add(&tree, Path::new(""), Path::new("")).unwrap();
        assert_eq!(names(&bundle.finish().unwrap()), ["d/", "d/e/", "d/e/y"]);
    }

    #[test]
    fn the_hash_follows_name_and_content_but_not_the_time() {
        let place = tempfile::tempdir().unwrap();
        let tree = Root::open(place.path()).unwrap();
        let hash = |name: &str| content_hash(&tree, Path::new(name), Some((0, 0))).unwrap();
        std::fs::write(place.path().join("f"), "1").unwrap();
        let first = hash("f");
        let past = std::time::SystemTime::UNIX_EPOCH;
        File::options().write(true).open(place.path().join("f")).unwrap().set_modified(past).unwrap();
        assert_eq!(hash("f"), first);
        std::fs::write(place.path().join("f"), "2").unwrap();
        assert_ne!(hash("f"), first);
    }

    #[test]
    fn a_name_like_a_whiteouts_is_a_name() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join(".wh.x"), "").unwrap();
        let tree = Root::open(place.path()).unwrap();
        let mut bundle = Bundle::new(Vec::new(), BundleOptions { owner: None, leaves_out: &|_| false });
        bundle.add(&tree, Path::new(""), Path::new("")).unwrap();
        assert_eq!(names(&bundle.finish().unwrap()), [".wh.x"]);
    }
}
