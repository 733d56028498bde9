//! Files that are seen old or new, never half: written beside, synced, renamed over.
//!
//! What must be there after a power cut, once it was said to be, is written by [`write`]. What may then be old or new, such as how a container
//! fares, which a boot makes void anyway, by [`replace`], which waits for the disk once and not twice. Several files that are synced together wait [`beside`] their places.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{StoreError, failed};

/// Replaces the content of `path`, which then has mode `mode`. A crash leaves the old content or the new; after this came back, the new.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), StoreError> {
    let file = beside(path, content, mode)?;
    file.sync().and_then(|()| file.put()).and_then(|_| sync_directory(parent(path)?)).map_err(failed("write", path))
}

/// Replaces the content of `path`, which then has mode `mode`. A crash leaves the old content or the new, also after this came back.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), StoreError> {
    let file = beside(path, content, mode)?;
    file.sync().and_then(|()| file.put()).map(drop).map_err(failed("write", path))
}

/// A new file that waits beside its place, until it is [`Beside::put`] there; dropped, it is gone.
pub struct Beside {
    file: NamedTempFile,
    path: PathBuf,
}

/// Writes the file that is to be at `path`, with mode `mode`, beside it.
pub fn beside(path: &Path, content: &[u8], mode: u32) -> Result<Beside, StoreError> {
    let make = || -> io::Result<NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(parent(path)?)?;
        file.write_all(content)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(file)
    };
    Ok(Beside { file: make().map_err(failed("write", path))?, path: path.to_owned() })
}

impl Beside {
    /// Writes its content to disk.
    pub fn sync(&self) -> io::Result<()> {
        self.file.as_file().sync_all()
    }

    /// Gives it its place. What was there before may be lost by a crash, unless the content was synced.
    pub fn put(self) -> io::Result<File> {
        self.file.persist(self.path).map_err(|error| error.error)
    }
}

fn parent(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or(io::ErrorKind::InvalidInput.into())
}

/// Makes the names in `directory` survive a power cut.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_the_new_content_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("size");
        write(&path, b"1", 0o644).unwrap();
        replace(&path, b"21", 0o644).unwrap();
        let file = beside(&path, b"22", 0o600).unwrap();
        drop(beside(&path, b"23", 0o600).unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"21");
        file.put().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"22");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_file() {
        let error = write(Path::new("/proc/none/here"), b"", 0o644).unwrap_err();
        assert!(error.to_string().starts_with("write /proc/none/here: "), "{error}");
    }
}
