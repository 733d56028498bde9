//! One writer at a time: locks on directories themselves, so that no extra file is needed.

use std::fs::File;
use std::path::Path;

use super::{StoreError, failed};

/// Keeps other processes from changing the records while it lives; the kernel drops it when the process ends.
#[derive(Debug)]
pub struct Lock {
    _directory: File,
}

impl Lock {
    /// Waits for the lock on `directory`.
    pub fn exclusive(directory: &Path) -> Result<Lock, StoreError> {
        let file = File::open(directory).map_err(failed("open", directory))?;
        file.lock().map_err(failed("lock", directory))?;
        Ok(Lock { _directory: file })
    }

    /// Takes the lock on `path` only if nobody has it.
    pub fn try_exclusive(path: &Path) -> Result<Option<Lock>, StoreError> {
        let file = File::open(path).map_err(failed("open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _directory: file })),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(failed("lock", path)(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_not_given_twice() {
        let directory = tempfile::tempdir().unwrap();
        let held = Lock::exclusive(directory.path()).unwrap();
        assert!(Lock::try_exclusive(directory.path()).unwrap().is_none());
        drop(held);
        assert!(Lock::try_exclusive(directory.path()).unwrap().is_some());
    }
}
