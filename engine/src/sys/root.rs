//! A directory that serves as a root: no name below it, link or not, leads outside.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2, readlinkat};

/// What is read whole is a text that people write; nothing of them comes near this.
const READ_LIMIT_BYTES: u64 = 16 << 20;
/// How many links the kernel, too, follows in one path.
const LINK_LIMIT: usize = 40;

/// An open root directory; every path is resolved inside it (`openat2(2)`, `RESOLVE_IN_ROOT`).
pub struct Root {
    directory: OwnedFd,
}

impl Root {
    /// Opens `path` itself, following links to it.
    pub fn open(path: &Path) -> io::Result<Root> {
        Ok(Root { directory: openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())? })
    }

    /// Opens `path` inside the root.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        Ok(openat2(self.directory.as_fd(), relative(path), flags | OFlags::CLOEXEC, mode, ResolveFlags::IN_ROOT)?)
    }

    /// What stands at `path` (the link itself when it is one); nothing when there is nothing.
    pub fn kind(&self, path: &Path) -> io::Result<Option<FileType>> {
        match self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(file) => Ok(Some(FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether `path`, links followed inside the root, leads to something.
    pub fn exists(&self, path: &Path) -> bool {
        self.open_at(path, OFlags::PATH, Mode::empty()).is_ok()
    }

    /// The whole content of the regular file at `path`. Nothing that somebody puts there makes this wait or take much memory.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_regular(self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())?.into())
    }

    /// Where `path` leads to when every link on it is followed inside the root, there or not; relative to the root.
    pub fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        let mut resolved = PathBuf::new();
        let mut left: Vec<OsString> = parts_backwards(path);
        let mut links = 0;
        while let Some(part) = left.pop() {
            if part == ".." {
                resolved.pop();
                continue;
            }
            resolved.push(part);
            if !matches!(self.kind(&resolved), Ok(Some(FileType::Symlink))) {
                continue;
            }
            links += 1;
            if links > LINK_LIMIT {
                return Err(rustix::io::Errno::LOOP.into());
            }
            let link = self.open_at(&resolved, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
            let target = PathBuf::from(OsString::from_vec(readlinkat(&link, "", Vec::new())?.into_bytes()));
            resolved = if target.is_absolute() {
                PathBuf::new()
            } else {
                resolved.parent().map(Into::into).unwrap_or_default()
            };
            left.extend(parts_backwards(&target));
        }
        Ok(resolved)
    }

    /// Makes the directory that `path` leads to and those above it, as far as they are missing, with mode 0755.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        match self.open_at(path, flags, Mode::empty()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            there => return there,
        }
        let mut walked = PathBuf::new();
        for part in self.resolve(path)?.components() {
            let parent = self.open_at(&walked, flags, Mode::empty())?;
            walked.push(part);
            if !self.exists(&walked) {
                rustix::fs::mkdirat(&parent, part.as_os_str(), Mode::from_raw_mode(0o755))?;
            }
        }
        self.open_at(&walked, flags, Mode::empty())
    }

    /// Makes an empty file at `path` unless something is there; missing directories too.
    pub fn create_file(&self, path: &Path, mode: u32) -> io::Result<()> {
        if self.exists(path) {
            return Ok(());
        }
        let parent = self.create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&parent, name, flags, Mode::from_raw_mode(mode))?;
        Ok(())
    }

    /// Makes a symbolic link at `path` unless something is there; missing directories too.
    pub fn create_link(&self, path: &Path, target: &str) -> io::Result<()> {
        if self.kind(path)?.is_some() {
            return Ok(());
        }
        let parent = self.create_dir_all(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(rustix::fs::symlinkat(target, &parent, name)?)
    }
}

/// The whole content of a regular file, opened already.
pub fn read_regular(mut file: File) -> io::Result<Vec<u8>> {
    let meta = file.metadata()?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(READ_LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > READ_LIMIT_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", READ_LIMIT_BYTES >> 20)));
    }
    Ok(bytes)
}

/// The parts of a path that say something, the last one first.
fn parts_backwards(path: &Path) -> Vec<OsString> {
    let parts = path.components().filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.rev().map(|part| part.as_os_str().to_owned()).collect()
}

/// A path as `openat2` wants it below a directory: without its leading slash, `.` for the root itself.
fn relative(path: &Path) -> &Path {
    let path = path.strip_prefix("/").unwrap_or(path);
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: SY-03, SE-03~, SE-04
    #[test]
    fn links_that_point_outside_are_followed_inside() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/elsewhere", directory.path().join("etc")).unwrap();
        std::fs::create_dir(directory.path().join("elsewhere")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        root.create_file(Path::new("/etc/deep/hosts"), 0o644).unwrap();
        assert!(directory.path().join("elsewhere/deep/hosts").is_file());
        assert!(!Path::new("/elsewhere").exists());
    }

    /// Checklist: SY-02, SY-03
    #[test]
    fn a_link_to_nothing_leads_to_what_is_made() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/made/deep", directory.path().join("link")).unwrap();
        std::os::unix::fs::symlink("../../link", directory.path().join("again")).unwrap();
        std::os::unix::fs::symlink("round", directory.path().join("round")).unwrap();
        let root = Root::open(directory.path()).unwrap();
        assert_eq!(root.resolve(Path::new("/again/a/../b")).unwrap(), Path::new("made/deep/b"));
        root.create_dir_all(Path::new("again/x")).unwrap();
        assert!(directory.path().join("made/deep/x").is_dir());
        assert_eq!(root.resolve(Path::new("round")).unwrap_err().raw_os_error(), Some(libc::ELOOP));
    }

    #[test]
    fn only_regular_files_of_a_sensible_size_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let reason = |name: &str| root.read(Path::new(name)).unwrap_err().to_string();
        nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        File::create(directory.path().join("huge")).unwrap().set_len(READ_LIMIT_BYTES + 1).unwrap();
        assert_eq!(reason("fifo"), "not a regular file");
        assert_eq!(reason("huge"), "larger than 16 MiB");
        assert_eq!(root.read(Path::new(".")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }

    #[test]
    fn what_is_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("mtab"), "mine").unwrap();
        let root = Root::open(directory.path()).unwrap();
        root.create_link(Path::new("mtab"), "/proc/mounts").unwrap();
        root.create_file(Path::new("mtab"), 0o755).unwrap();
        assert_eq!(root.read(Path::new("/mtab")).unwrap(), b"mine");
    }
}
