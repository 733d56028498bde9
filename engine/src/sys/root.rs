//! A directory that serves as a root: no name below it, link or not, leads outside.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2};

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

    /// The whole content of the file at `path`.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        io::Read::read_to_end(
            &mut std::fs::File::from(self.open_at(path, OFlags::RDONLY, Mode::empty())?),
            &mut bytes,
        )?;
        Ok(bytes)
    }

    /// Makes the directory `path` and those above it, as far as they are missing, with mode 0755.
    pub fn create_dir_all(&self, path: &Path) -> io::Result<OwnedFd> {
        let mut walked = PathBuf::new();
        for part in relative(path).components() {
            let parent = self.open_at(&walked, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            walked.push(part);
            if !self.exists(&walked) {
                rustix::fs::mkdirat(&parent, part.as_os_str(), Mode::from_raw_mode(0o755))?;
            }
        }
        self.open_at(&walked, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
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

/// A path as `openat2` wants it below a directory: without its leading slash, `.` for the root itself.
fn relative(path: &Path) -> &Path {
    let path = path.strip_prefix("/").unwrap_or(path);
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

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
