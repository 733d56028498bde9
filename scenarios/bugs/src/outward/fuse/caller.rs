//! Whoever asks for something through FUSE: the kernel below is to take this thread for them while it is done.
//!
//! *Holds*: user 0 may do everything, and nobody else has a capability; what else a process can give away or take on (capabilities,
//! security contexts, limits of its own) does not come through.

use std::os::fd::OwnedFd;

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// User, groups and file mode mask of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    umask: u32,
}

impl Caller {
    /// The superuser.
    pub const ROOT: Caller = Caller { uid: 0, gid: 0, groups: Vec::new(), umask: 0 };

    /// The user of a request; further groups are read below the directory `processes`, a `/proc`.
    pub fn of(request: &fuser::Request, umask: u32, processes: &OwnedFd) -> Caller {
        let (uid, gid) = (request.uid(), request.gid());
        if uid == u32::MAX {
            // The kernel itself, which writes what a mapping holds.
            return Caller::ROOT;
        }
        let groups = if uid == 0 { Vec::new() } else { groups_of(request.pid(), processes).unwrap_or_default() };
        Caller { uid, gid, groups, umask }
    }

    /// Whether it is the superuser.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// Does something as this user. The thread has a file mode mask of its own.
    pub fn act<T>(&self, body: impl FnOnce() -> T) -> Result<T, Errno> {
        let is_other = (self.uid, self.gid) != (0, 0) || !self.groups.is_empty();
        let mask = rustix::process::umask(Mode::from_raw_mode(self.umask));
        let _again = Ourselves { is_other, mask };
        if is_other {
            let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
            let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
            set_thread_groups(&groups)?;
            set_thread_res_gid(gid, gid, None::<Gid>)?;
            set_thread_res_uid(uid, uid, None::<Uid>)?;
        }
        Ok(body())
    }
}

/// The thread becomes the superuser again, and has its mask, when this goes.
struct Ourselves {
    is_other: bool,
    mask: Mode,
}

impl Drop for Ourselves {
    fn drop(&mut self) {
        let restore = || {
            set_thread_res_uid(Uid::ROOT, Uid::ROOT, None::<Uid>)?;
            set_thread_res_gid(Gid::ROOT, Gid::ROOT, None::<Gid>)?;
            set_thread_groups(&[])
        };
        if self.is_other
            && let Err(errno) = restore()
        {
            // Whatever came next would be done as somebody else.
            eprintln!("layerlab-bugs: a thread cannot become the superuser again: {errno}");
            std::process::abort();
        }
        rustix::process::umask(self.mask);
    }
}

/// The supplementary groups of a process (`Groups` of proc_pid_status(5)).
fn groups_of(process: u32, processes: &OwnedFd) -> Option<Vec<u32>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(processes, format!("{process}/status"), flags, Mode::empty()).ok()?;
    let status = std::io::read_to_string(std::fs::File::from(file)).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:"))?;
    line.split_whitespace().map(|group| group.parse().ok()).collect()
}
