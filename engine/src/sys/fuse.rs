//! File systems that a program serves (FUSE): the mount is made here, and the program only answers for it.
//!
//! *Why*: a program that mounts by itself needs a place in the tree, and leaves its mount there and itself behind when its
//! caller is killed. *Holds*: the program ends with the mount, since the kernel shuts its device then: with the last
//! descriptor of a mount that has no place, however its holder ended, or with `umount`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, MemfdFlags, Mode, OFlags, flock, memfd_create};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::mount::Detached;

/// What a program that serves a file system talks to the kernel by.
pub const DEVICE: &str = "/dev/fuse";

/// A served file system without a place in the tree, and how to tell when its program has ended.
pub struct Served {
    /// The mount.
    pub mount: Detached,
    /// The life of the program behind it.
    pub life: Life,
}

/// Mounts a file system of `kind` (`fuse.<kind>` in `/proc/mounts`) and starts `program` to serve it: its last argument is to be
/// where it would mount, which is an open device here (`fuse_session_mount` of libfuse 3 takes `/dev/fd/N`). The program puts itself into
/// the background when it is ready; one that cannot says why in the output.
///
/// With `scratch`, a directory that no two programs may use at once, the start waits for the end of the one before, `limit` at most.
pub fn serve(
    kind: &str,
    program: &mut Command,
    scratch: Option<&Path>,
    limit: Duration,
) -> io::Result<Result<Served, Output>> {
    let (held, life) = Life::begin(scratch, limit)?;
    let device: OwnedFd = File::options().read(true).write(true).open(DEVICE)?.into();
    let mount = mount(kind, &device)?;
    let passed = [device.as_raw_fd(), held.as_raw_fd()];
    program.arg(format!("/dev/fd/{}", device.as_raw_fd()));
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // SAFETY: between fork and exec the closure makes only system calls, on descriptors that are open until `output` is back.
    unsafe { program.pre_exec(move || passed.iter().try_for_each(|fd| pass_on(*fd))) };
    let output = program.output()?;
    Ok(if output.status.success() { Ok(Served { mount, life }) } else { Err(output) })
}

/// Keeps an open file across `exec`.
fn pass_on(fd: RawFd) -> io::Result<()> {
    // SAFETY: the caller has it open.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    Ok(fcntl_setfd(fd, FdFlags::empty())?)
}

/// The kernel's half: the options are those that libfuse sets for a caller who is root in its user namespace.
fn mount(kind: &str, device: &OwnedFd) -> io::Result<Detached> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    for (name, value) in
        [("source", kind), ("subtype", kind), ("rootmode", "40000"), ("user_id", "0"), ("group_id", "0")]
    {
        fsconfig_set_string(context, name, value)?;
    }
    fsconfig_set_string(context, "fd", device.as_raw_fd().to_string())?;
    for name in ["default_permissions", "allow_other"] {
        fsconfig_set_flag(context, name)?;
    }
    fsconfig_create(context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOATIME;
    Ok(fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?.into())
}

/// How to tell that a program has ended that nobody is the parent of: it holds a lock as long as it lives.
pub struct Life {
    watch: File,
}

impl Life {
    /// A lock to be inherited, on `scratch` or on a file of its own, and what watches it.
    fn begin(scratch: Option<&Path>, limit: Duration) -> io::Result<(File, Life)> {
        let held = match scratch {
            Some(scratch) => open(scratch)?,
            None => memfd_create("served", MemfdFlags::CLOEXEC)?.into(),
        };
        let life = Life { watch: open(&PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd())))? };
        if !take(&held, limit)? {
            return Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "another program that was mounted there still uses it",
            ));
        }
        Ok((held, life))
    }

    /// The life of whichever program uses `scratch`.
    pub fn of(scratch: &Path) -> io::Result<Life> {
        Ok(Life { watch: open(scratch)? })
    }

    /// Waits for the end of the program; false when `limit` passes first.
    pub fn wait_for_end(&self, limit: Duration) -> io::Result<bool> {
        let ended = take(&self.watch, limit)?;
        flock(&self.watch, FlockOperation::Unlock)?;
        Ok(ended)
    }
}

fn open(path: &Path) -> io::Result<File> {
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// Takes the lock on `file` for itself; false when it was not free for `limit`.
fn take(file: &File, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) if Instant::now() >= deadline => return Ok(false),
            Err(Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(1)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scratch_directory_is_one_programs_at_a_time() {
        let scratch = tempfile::tempdir().unwrap();
        let (held, _life) = Life::begin(Some(scratch.path()), Duration::ZERO).unwrap();
        let short = Duration::from_millis(5);
        let Err(error) = Life::begin(Some(scratch.path()), short) else { panic!("two had it") };
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert!(!Life::of(scratch.path()).unwrap().wait_for_end(short).unwrap());
        drop(held);
        assert!(Life::of(scratch.path()).unwrap().wait_for_end(short).unwrap());
        Life::begin(Some(scratch.path()), Duration::ZERO).unwrap();
    }
}
