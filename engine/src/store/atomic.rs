//! Files that are seen old or new, never half: written beside, synced, renamed over.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{StoreError, failed};

/// Replaces the content of `path`, which then has mode `mode`. A crash leaves the old content or the new.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), StoreError> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput.into()).map_err(failed("write", path))?;
    let replace = || -> io::Result<()> {
        let mut beside = tempfile::Builder::new().prefix(".tmp-").tempfile_in(directory)?;
        beside.write_all(content)?;
        beside.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        beside.as_file().sync_all()?;
        beside.persist(path).map_err(|error| error.error)?;
        sync_directory(directory)
    };
    replace().map_err(failed("write", path))
}

/// Makes the names in `directory` survive a power cut.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_has_the_new_content_and_leaves_nothing_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("size");
        write(&path, b"1", 0o644).unwrap();
        write(&path, b"22", 0o600).unwrap();
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
