//! A place apart for a program that nobody here knows: processes, mounts and memory of its own, of which nothing is left when it ends, or
//! when whoever began it is killed.
//!
//! *Holds*: the first process of a PID namespace is this program's, and the kernel ends all others with it (pid_namespaces(7)). Whoever began it ends it when a
//! signal would end him.
//! *Never*: a signal to a process outside.

use std::env;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use anyhow::{Context, bail};
use layerlab_engine::sys::process::die_with_parent;
use layerlab_scenarios::lab::cgroup::{self, CgroupError, LabCgroup};
use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, setpgid};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};

use crate::enter::own_mounts;
use crate::status::CANNOT;

/// That this process is the first one of a namespace of its own.
pub struct Alone(());

/// Where memory is mounted for what is only for a while; what the host has there is hidden meanwhile.
pub const PLACE: &str = "/dev/shm";

/// What is run apart, for whoever gets a signal, and the first one that came.
static APART: AtomicI32 = AtomicI32::new(0);
static SIGNALLED: AtomicI32 = AtomicI32::new(0);
/// Whether it is asked to end first, by the same signal.
static IS_ASKED: AtomicBool = AtomicBool::new(false);

extern "C" fn end_what_is_apart(signal: libc::c_int) {
    let is_first = SIGNALLED.swap(signal, Ordering::SeqCst) == 0;
    let is_asked = is_first && IS_ASKED.load(Ordering::SeqCst) && [libc::SIGINT, libc::SIGTERM].contains(&signal);
    // SAFETY: kill(2) is async-signal-safe.
    unsafe { libc::kill(APART.load(Ordering::SeqCst), if is_asked { signal } else { libc::SIGKILL }) };
}

/// Whom the first process of a namespace passes signals on to.
static LAST: AtomicI32 = AtomicI32::new(0);

extern "C" fn pass_on(signal: libc::c_int) {
    // SAFETY: kill(2) is async-signal-safe.
    unsafe { libc::kill(LAST.load(Ordering::SeqCst), signal) };
}

/// Waits for what is run apart; a signal that would end this process ends that first.
fn status_of(apart: Pid) -> anyhow::Result<u8> {
    APART.store(apart.as_raw(), Ordering::SeqCst);
    let action = SigAction::new(SigHandler::Handler(end_what_is_apart), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        // SAFETY: the handler calls async-signal-safe functions only.
        unsafe { sigaction(signal, &action) }?;
    }
    let ended = waitpid(apart, None)?;
    match (ended, SIGNALLED.load(Ordering::SeqCst)) {
        (WaitStatus::Exited(_, code), 0) => Ok(code as u8),
        // It was asked, and said how it ended.
        (WaitStatus::Exited(_, code), _) if IS_ASKED.load(Ordering::SeqCst) => Ok(code as u8),
        (other, 0) => bail!("what was run apart ended with {other:?}"),
        (_, signal) => Ok(SIGNAL + signal as u8),
    }
}

/// As a shell says that a signal ended something.
const SIGNAL: u8 = 128;

/// Runs `body` apart. Call this as root, while the process has one thread.
pub fn alone(body: impl FnOnce(&Alone) -> u8) -> anyhow::Result<u8> {
    unshare(CloneFlags::CLONE_NEWPID).context("cannot have processes of its own")?;
    // SAFETY: this process has one thread, as the caller promises.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => status_of(child),
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

/// Runs `body` apart with programs that begin daemons: what nobody waits for any more is waited for, its control groups are its own, where they are to be had, and so is the directory for what is
/// temporary. Of all of them nothing is left. Where `is_asked`, the first SIGINT or SIGTERM is for `body` alone to end by; a terminal's reaches nothing else of what runs apart.
/// Call this as root, while the process has one thread.
pub fn apart_with_daemons(is_asked: bool, body: impl FnOnce() -> u8) -> anyhow::Result<u8> {
    IS_ASKED.store(is_asked, Ordering::SeqCst);
    let place = tempfile::Builder::new().prefix("layerlab-").tempdir().context("cannot have a directory of its own")?;
    let cgroup = LabCgroup::make().map_err(without_cgroups).ok();
    alone(|_| {
        // SAFETY: this process has one thread, as the caller promises.
        unsafe { env::set_var("TMPDIR", place.path()) };
        let begun = || -> anyhow::Result<Pid> {
            if is_asked {
                setpgid(Pid::from_raw(0), Pid::from_raw(0)).context("cannot have a process group of its own")?;
            }
            if let Some(cgroup) = &cgroup {
                entered(cgroup).unwrap_or_else(without_cgroups);
            }
            // SAFETY: as above.
            match unsafe { fork() }.context("cannot fork")? {
                ForkResult::Parent { child } => {
                    LAST.store(child.as_raw(), Ordering::SeqCst);
                    let action = SigAction::new(SigHandler::Handler(pass_on), SaFlags::SA_RESTART, SigSet::empty());
                    for signal in [Signal::SIGINT, Signal::SIGTERM].into_iter().filter(|_| is_asked) {
                        // SAFETY: the handler calls async-signal-safe functions only.
                        unsafe { sigaction(signal, &action) }?;
                    }
                    Ok(child)
                }
                ForkResult::Child => std::process::exit(i32::from(body())),
            }
        };
        begun().and_then(reaped).unwrap_or_else(|error| {
            eprintln!("cannot be apart: {error:#}");
            CANNOT
        })
    })
}

/// Makes `cgroup` the control groups that this process and all that it begins have, and see.
fn entered(cgroup: &LabCgroup) -> Result<(), CgroupError> {
    cgroup.take_in(getpid().as_raw())?;
    let apart = unshare(CloneFlags::CLONE_NEWCGROUP).map_err(io::Error::from);
    apart.map_err(|source| CgroupError::Make { path: "/proc/self/ns/cgroup".into(), source })?;
    cgroup.cover()?;
    cgroup::make_room_for_children()
}

/// Most programs need no control groups; a daemon that does says so itself.
fn without_cgroups(error: CgroupError) {
    eprintln!("layerlab-laws: driver programs have no control groups of their own: {error}");
}

/// Waits for everything until `last` ends.
fn reaped(last: Pid) -> anyhow::Result<u8> {
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == last => return Ok(code as u8),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == last => return Ok(SIGNAL + signal as u8),
            Err(Errno::EINTR) | Ok(_) => {}
            Err(errno) => return Err(errno.into()),
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
