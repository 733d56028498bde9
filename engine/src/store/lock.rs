//! One writer, or many readers, at a time: locks on directories themselves, so that no extra file is needed.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::{StoreError, failed};

/// Keeps other processes from changing the records while it lives; the kernel drops it when the process ends, however.
#[derive(Debug)]
pub struct Lock {
    _directory: File,
    /// What keeps dockerd away meanwhile.
    _database: Option<File>,
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// With others who only read.
    Shared,
    /// By nobody else.
    Alone,
    /// By nobody else, if that is so at once.
    AloneNow,
}

/// What came of asking for the lock on a directory that others may remove.
#[derive(Debug)]
pub enum Asked {
    /// It is held.
    Held(Lock),
    /// Somebody else has it.
    Busy,
    /// There is no such directory (any more).
    Gone,
}

impl Lock {
    /// Waits for the lock on `directory`.
    pub fn exclusive(directory: &Path) -> Result<Lock, StoreError> {
        let file = File::open(directory).map_err(failed("open", directory))?;
        file.lock().map_err(failed("lock", directory))?;
        Ok(Lock { _directory: file, _database: None })
    }

    /// Holds `database`, which is locked, as long as this.
    pub(super) fn with(self, database: Option<File>) -> Lock {
        Lock { _database: database, ..self }
    }

    /// Asks for the lock on `directory`, which whoever holds it alone may remove.
    pub fn ask(directory: &Path, hold: Hold) -> Result<Asked, StoreError> {
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        loop {
            let file = match File::open(directory) {
                Err(error) if gone(&error) => return Ok(Asked::Gone),
                opened => opened.map_err(failed("open", directory))?,
            };
            let locked = match hold {
                Hold::Shared => file.lock_shared(),
                Hold::Alone => file.lock(),
                Hold::AloneNow => match file.try_lock() {
                    Err(std::fs::TryLockError::WouldBlock) => return Ok(Asked::Busy),
                    Err(std::fs::TryLockError::Error(error)) => Err(error),
                    Ok(()) => Ok(()),
                },
            };
            locked.map_err(failed("lock", directory))?;
            // Whoever had it may have removed the directory; a lock on what has no name any more keeps nobody out.
            let opened = file.metadata().map_err(failed("look at", directory))?;
            match fs::metadata(directory) {
                Ok(named) if (named.dev(), named.ino()) == (opened.dev(), opened.ino()) => {
                    return Ok(Asked::Held(Lock { _directory: file, _database: None }));
                }
                Err(error) if !gone(&error) => return Err(failed("look at", directory)(error)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: CN-04
    #[test]
    fn a_held_lock_is_not_given_twice() {
        let directory = tempfile::tempdir().unwrap();
        let held = Lock::exclusive(directory.path()).unwrap();
        let ask = || Lock::ask(directory.path(), Hold::AloneNow).unwrap();
        assert!(matches!(ask(), Asked::Busy));
        drop(held);
        assert!(matches!(ask(), Asked::Held(_)));
    }

    /// Checklist: CN-04
    #[test]
    fn readers_share_a_lock_and_a_writer_waits_for_them() {
        let directory = tempfile::tempdir().unwrap();
        let ask = |hold| Lock::ask(directory.path(), hold).unwrap();
        let (one, other) = (ask(Hold::Shared), ask(Hold::Shared));
        assert!(matches!((&one, &other), (Asked::Held(_), Asked::Held(_))));
        assert!(matches!(ask(Hold::AloneNow), Asked::Busy));
        drop((one, other));
        assert!(matches!(ask(Hold::AloneNow), Asked::Held(_)));
    }

    /// Checklist: CN-04
    #[test]
    fn who_waited_for_a_directory_that_is_removed_meanwhile_is_told_so() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("layer");
        fs::create_dir(&directory).unwrap();
        let held = Lock::ask(&directory, Hold::Alone).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lock::ask(&directory, Hold::Shared).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(50));
            fs::rename(&directory, place.path().join("aside")).unwrap();
            drop(held);
            assert!(matches!(waiting.join().unwrap(), Asked::Gone));
        });
    }
}
