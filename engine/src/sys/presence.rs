//! Being there: a file that says which process does a job, believed only while that process holds a lock on it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};

/// Announces this process in a file for as long as the value lives; the kernel ends it with the process.
pub struct Presence {
    _file: File,
}

fn whole_file() -> libc::flock {
    // SAFETY: flock is plain data for which all zeros is a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock
}

impl Presence {
    /// Takes the job of `path`; nothing when another process has it.
    pub fn announce(path: &Path) -> io::Result<Option<Presence>> {
        let mut file = File::options().write(true).create(true).truncate(false).open(path)?;
        match fcntl(&file, FcntlArg::F_OFD_SETLK(&whole_file())) {
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => return Ok(None),
            other => other?,
        };
        file.set_len(0)?;
        file.write_all(std::process::id().to_string().as_bytes())?;
        Ok(Some(Presence { _file: file }))
    }

    /// The number of the process that has the job of `path`. Asking takes no lock, so it never stands in anybody's way.
    pub fn of(path: &Path) -> Option<i32> {
        let file = File::open(path).ok()?;
        let mut lock = whole_file();
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut lock)).ok()?;
        if libc::c_int::from(lock.l_type) == libc::F_UNLCK {
            return None;
        }
        fs::read_to_string(path).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_there_until_it_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("monitor.pid");
        assert_eq!(Presence::of(&path), None);
        let here = Presence::announce(&path).unwrap();
        assert!(here.is_some() && Presence::announce(&path).unwrap().is_none());
        assert_eq!(Presence::of(&path), Some(std::process::id() as i32));
        drop(here);
        assert_eq!(Presence::of(&path), None);
    }
}
