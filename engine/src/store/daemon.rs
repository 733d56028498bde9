//! Whether a dockerd works on a data root, and keeping one away: it has no lock that this engine knows, but one on its database of
//! volumes.
//!
//! It takes that before it answers and has it until its end (moby, `volume/service/store.go`: bbolt locks what it opens with flock(2)). One that
//! starts while somebody else has it waits for a second, then ends with `error while opening volume store metadata database: timeout`; an empty
//! file it fills (tried with dockerd 20.10.24). It has read its other books by then: who keeps it away for less than a second may have
//! changed what it read.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use super::{StoreError, failed};

const DATABASE: &str = "volumes/metadata.db";

/// Whether a dockerd works on `data_root` now. Who may not read its database sees none.
pub fn is_dockerd_at_work(data_root: &Path) -> bool {
    // Shared and for a moment: a dockerd that starts just now asks again for a second.
    File::open(data_root.join(DATABASE)).is_ok_and(|database| is_dockerds(&database))
}

/// When a dockerd began on `data_root` last, or changed a volume: whoever keeps dockerds out writes nothing into their database.
pub fn last_begun(data_root: &Path) -> Option<SystemTime> {
    std::fs::metadata(data_root.join(DATABASE)).and_then(|meta| meta.modified()).ok()
}

/// Keeps every dockerd from `data_root` until the file is closed; refused where one works. Nothing is held below a data root without a place for
/// volumes.
pub fn keep_out(data_root: &Path) -> Result<Option<File>, StoreError> {
    let path = data_root.join(DATABASE);
    let opened = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)
        }
        opened => opened,
    };
    match opened {
        Ok(database) if is_dockerds(&database) => Err(StoreError::Dockerd(data_root.to_owned())),
        Ok(database) => Ok(Some(database)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // Who may not open it keeps nobody out, and is told elsewhere what it may not write.
        Err(error) if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
            Ok(None)
        }
        Err(error) => Err(failed("open", &path)(error)),
    }
}

/// Whether somebody else has it alone. If not, it is locked from now on, where files can be locked.
fn is_dockerds(database: &File) -> bool {
    matches!(database.try_lock_shared(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerd_is_known_by_the_lock_on_its_database() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_dockerd_at_work(root.path()));
        assert!(keep_out(root.path()).unwrap().is_none());
        std::fs::create_dir(root.path().join("volumes")).unwrap();
        let database = File::create(root.path().join(DATABASE)).unwrap();
        assert!(!is_dockerd_at_work(root.path()));
        database.lock().unwrap();
        assert!(is_dockerd_at_work(root.path()));
        assert!(matches!(keep_out(root.path()), Err(StoreError::Dockerd(_))));
        drop(database);
        assert!(!is_dockerd_at_work(root.path()));
    }

    #[test]
    fn a_dockerd_cannot_begin_while_it_is_kept_out() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("volumes")).unwrap();
        let kept = [keep_out(root.path()).unwrap(), keep_out(root.path()).unwrap()];
        let dockerds = File::options().read(true).write(true).open(root.path().join(DATABASE)).unwrap();
        assert!(matches!(dockerds.try_lock(), Err(TryLockError::WouldBlock)));
        assert!(!is_dockerd_at_work(root.path()));
        drop(kept);
        dockerds.try_lock().unwrap();
    }
}
