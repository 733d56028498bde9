//! Mounts a tree once more, through FUSE and a bug.
//!
//! *Holds*: the mount has no place until somebody gives it one, and ends with the last who uses it; then the thread that serves it ends, and
//! with it everything that is open below. *Never*: `fusermount`, or a library of the host.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fuser::{Config, Session, SessionACL};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::perform::Hands;
use nix::libc;
use rustix::fs::{CWD, Mode, OFlags, open, openat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use super::bench::Bench;
use super::passing::Passing;
use crate::bug::ThroughFuse;

/// The device through which the kernel speaks.
pub const DEVICE: &str = "/dev/fuse";

/// A mount, and who serves it.
pub struct Served {
    /// The root of the mount. When nobody has it any more the service ends.
    pub root: OwnedFd,
    /// Who serves it.
    pub service: Service,
}

/// The thread that serves a mount.
pub struct Service {
    thread: JoinHandle<io::Result<()>>,
    /// The kernel's number of the connection, below fusectl's root.
    connection: u32,
}

/// How long it may take from the end of a mount to the end of its service.
const END_LIMIT: Duration = Duration::from_secs(10);

impl Service {
    /// Waits until the mount is gone. One that somebody still has, mounted elsewhere or open, is broken off, and that is an error.
    pub fn end(self) -> io::Result<()> {
        let began = Instant::now();
        while !self.thread.is_finished() && began.elapsed() < END_LIMIT {
            thread::sleep(Duration::from_millis(1));
        }
        let is_kept = !self.thread.is_finished();
        if is_kept {
            self.abort().map_err(|error| {
                io::Error::other(format!("somebody still has it, and it cannot be broken off through fusectl: {error}"))
            })?;
        }
        let served = self.thread.join();
        let served = served.map_err(|_| io::Error::other("the thread that serves a mount through FUSE panicked"))?;
        match is_kept {
            true => Err(io::Error::other("somebody still has it, mounted elsewhere or open")),
            // The mount is gone: the kernel says so in this way, too (`fuse_dev_do_read` of its `fs/fuse/dev.c`).
            false => served.or_else(|error| match error.raw_os_error() {
                Some(libc::ECONNABORTED) => Ok(()),
                _ => Err(error),
            }),
        }
    }

    /// Breaks the connection off (the kernel's Documentation/filesystems/fuse, "Aborting a filesystem connection").
    fn abort(&self) -> io::Result<()> {
        let context = fsopen("fusectl", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(context.as_fd())?;
        let control = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        let file =
            openat(control, format!("{}/abort", self.connection), OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        File::from(file).write_all(b"1")
    }
}

/// Serves the tree `merged` through `hands`, behind which are those of `bench`.
pub fn serve(merged: OwnedFd, hands: Box<dyn Hands>, bench: Bench, through: ThroughFuse) -> io::Result<Served> {
    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let processes = open("/proc", directory, Mode::empty())?;
    let descriptors = open("/proc/self/fd", directory, Mode::empty())?;
    let device = open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let root = mounted(&device, through)?;
    let (ready, is_ready) = mpsc::channel();
    let serve = move || {
        // The threads that a session begins have the root and the working directory of this one.
        prepare_thread()?;
        rustix::process::fchdir(&merged)?;
        rustix::process::chroot(".")?;
        let tree = openat(CWD, ".", directory, Mode::empty())?;
        drop(merged);
        rustix::process::fchdir(&descriptors)?;
        let passing = Passing::new(tree, processes, hands, bench, through);
        let session = Session::from_fd(passing, device, SessionACL::All, Config::default())?;
        // Nobody waits where the thread could not be begun.
        let _ = ready.send(());
        session.run()
    };
    let thread = thread::Builder::new().name("fuse".to_owned()).spawn(serve)?;
    if is_ready.recv().is_err() {
        // It ended instead, and says why.
        let why = thread.join().ok().and_then(Result::err);
        return Err(why.unwrap_or_else(|| io::Error::other("nobody serves the mount")));
    }
    let connection = rustix::fs::minor(rustix::fs::fstat(&root)?.st_dev);
    Ok(Served { root, service: Service { thread, connection } })
}

/// A mount that asks `device`, at no place.
fn mounted(device: &OwnedFd, through: ThroughFuse) -> io::Result<OwnedFd> {
    let context = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    fsconfig_set_string(context, "source", "layerlab-bugs")?;
    fsconfig_set_string(context, "fd", device.as_raw_fd().to_string())?;
    fsconfig_set_string(context, "rootmode", "40000")?;
    fsconfig_set_string(context, "user_id", "0")?;
    fsconfig_set_string(context, "group_id", "0")?;
    fsconfig_set_flag(context, "allow_other")?;
    if through == ThroughFuse::Gated {
        fsconfig_set_flag(context, "default_permissions")?;
    }
    fsconfig_create(context)?;
    Ok(fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}
