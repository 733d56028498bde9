//! A place apart for a program that nobody here knows: processes, mounts and memory of its own, of which nothing is left when it ends, or
//! when whoever began it is killed.
//!
//! *Holds*: the first process of a PID namespace is this program's, and the kernel ends all others with it (pid_namespaces(7)).
//! *Never*: a signal to a process outside.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use layerlab_engine::sys::process::die_with_parent;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use crate::enter::own_mounts;
use crate::status::CANNOT;

/// That this process is the first one of a namespace of its own.
pub struct Alone(());

/// Where memory is mounted for what is only for a while; what the host has there is hidden meanwhile.
pub const PLACE: &str = "/dev/shm";

/// Runs `body` apart. Call this as root, while the process has one thread.
pub fn alone(body: impl FnOnce(&Alone) -> u8) -> anyhow::Result<u8> {
    unshare(CloneFlags::CLONE_NEWPID).context("cannot have processes of its own")?;
    // SAFETY: this process has one thread, as the caller promises.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => match waitpid(child, None)? {
            WaitStatus::Exited(_, code) => Ok(code as u8),
            other => bail!("what was run apart ended with {other:?}"),
        },
        ForkResult::Child => {
            let entered = || -> anyhow::Result<Alone> {
                die_with_parent(None)?;
                if getpid() != Pid::from_raw(1) {
                    bail!("the namespace has another first process");
                }
                own_mounts()?;
                mount("proc", "/proc", "proc", MountFlags::empty(), None).context("cannot mount /proc anew")?;
                Ok(Alone(()))
            };
            let code = entered().map(|alone| body(&alone));
            std::process::exit(code.map_or_else(
                |error| {
                    eprintln!("cannot be apart: {error:#}");
                    i32::from(CANNOT)
                },
                i32::from,
            ));
        }
    }
}

impl Alone {
    /// Ends all processes but this one.
    pub fn end_others(&self) -> io::Result<()> {
        match kill(Pid::from_raw(-1), Signal::SIGKILL) {
            Err(Errno::ESRCH) => {}
            sent => sent?,
        }
        loop {
            match waitpid(None, None) {
                Err(Errno::ECHILD) => return Ok(()),
                Err(Errno::EINTR) | Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Has `command` run with mounts of its own, which sees ours come and go; its own end with it.
    pub fn with_mounts_of_its_own(&self, command: &mut Command) {
        let enter = || {
            unshare(CloneFlags::CLONE_NEWNS)?;
            Ok(mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)?)
        };
        // SAFETY: only system calls.
        unsafe { command.pre_exec(enter) };
    }

    /// Runs `body` in a directory in memory, of which nothing stays, nor of what is mounted in it.
    pub fn in_memory<T>(&self, body: impl FnOnce(&Path) -> T) -> io::Result<T> {
        mount("tmpfs", PLACE, "tmpfs", MountFlags::empty(), Some(c"mode=1777"))?;
        // What is mounted there later is so for whoever has mounts of his own by then.
        mount_change(PLACE, MountPropagationFlags::SHARED)?;
        let done = body(Path::new(PLACE));
        unmount(PLACE, UnmountFlags::DETACH)?;
        Ok(done)
    }
}
