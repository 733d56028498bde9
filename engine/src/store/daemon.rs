//! Whether a dockerd works on a data root: it keeps no lock that this engine knows, but one on its database of volumes.

use std::fs::{File, TryLockError};
use std::path::Path;

/// dockerd opens it before it answers, and has it locked until its end (moby, `volume/service/store.go`: bbolt locks what it opens with
/// flock(2)).
const DATABASE: &str = "volumes/metadata.db";

/// Whether a dockerd works on `data_root` now. Who may not read its database sees none.
pub fn is_dockerd_at_work(data_root: &Path) -> bool {
    // Shared and for a moment: a dockerd that starts just now asks again for a second.
    let Ok(database) = File::open(data_root.join(DATABASE)) else { return false };
    matches!(database.try_lock_shared(), Err(TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dockerd_is_known_by_the_lock_on_its_database() {
        let root = tempfile::tempdir().unwrap();
        assert!(!is_dockerd_at_work(root.path()));
        std::fs::create_dir(root.path().join("volumes")).unwrap();
        let database = File::create(root.path().join(DATABASE)).unwrap();
        assert!(!is_dockerd_at_work(root.path()));
        database.lock().unwrap();
        assert!(is_dockerd_at_work(root.path()));
        drop(database);
        assert!(!is_dockerd_at_work(root.path()));
    }
}
