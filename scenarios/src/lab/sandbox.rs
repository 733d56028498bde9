//! Namespaces of its own for one run: an outer process, PID 1 (which sets up and reaps) and PID 2 (the runner).
//!
//! *Why*: a page mounts, listens on port 8080 and fills /var/lib/docker; none of it may touch the host. *Holds*: when
//! the outer process ends, however it ends, the kernel kills PID 1 and with it everything inside; mounts and files go
//! with the last process, since all files are on a tmpfs of the sandbox's mount namespace. *Never*: a process of the
//! sandbox outlives it, unless the sandbox was to be kept. *Proved by* `scenarios/tests/lab.rs`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe2, setgroups, sethostname};

use super::cgroup::{self, CgroupError, LabCgroup};
use super::root::{RootError, RootPlan, raise};
use super::second::Foundations;
use super::user_map::{MapError, UserMap};
use super::{forbidden, loopback};

/// A sandbox that could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error("this host lets no ordinary user make namespaces ({source}). {advice}")]
    Forbidden { source: io::Error, advice: String },
    #[error("cannot make the lab's namespaces: {source}")]
    Clone { source: io::Error },
    #[error(transparent)]
    Map(#[from] MapError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("setting up the lab failed: {message}")]
    SetUp { message: String },
    #[error("cannot talk to the lab: {source}")]
    Pipe { source: io::Error },
}

/// What went wrong in PID 1; it reaches the outer process as text.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetUpError {
    #[error(transparent)]
    Root(#[from] RootError),
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("{step}: {source}")]
    Step { step: &'static str, source: io::Error },
    #[error(
        "the kernel keeps no user.* attributes on tmpfs, which overlayfs needs when the lab is an ordinary user's; \
         that came with Linux 6.6: use such a kernel, or start the lab as root"
    )]
    NoUserAttributes,
}

pub(super) fn step<E: Into<io::Error>>(step: &'static str) -> impl Fn(E) -> SetUpError {
    move |source| SetUpError::Step { step, source: source.into() }
}

/// A second mount namespace beside the lab's, for a daemon that needs the host's programs but shares the lab's data:
/// what it takes from the host, and what it takes from the lab (mounts made there are seen in the lab too).
#[derive(Debug, Clone, Default)]
pub struct Annexe {
    pub from_host: RootPlan,
    pub from_lab: RootPlan,
}

/// What to build and how to run in it.
#[derive(Debug, Clone, Default)]
pub struct Sandbox {
    pub root: RootPlan,
    pub annexe: Option<Annexe>,
    /// A user namespace even for root.
    pub rootless: bool,
    /// Control groups of its own, shown below /sys/fs/cgroup. Needs root.
    pub cgroup: bool,
    /// Do not end when the runner has reported its status.
    pub keep: bool,
    /// The terminal's interrupt key is for a program inside, not for the lab.
    pub interactive: bool,
    /// Take hold of everything twice, for a second host.
    pub second_host: bool,
}

/// What the runner finds inside.
pub struct Inside {
    /// What a second host is raised from, if there is to be one.
    pub second: Option<Foundations>,
    /// The annexe's mount namespace, for setns(2).
    pub annexe: Option<OwnedFd>,
}

/// How a run came out; `status` is what the runner returned, or 128 and the signal that ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ended {
        status: u8,
    },
    /// The lab lives on; `pid` is its PID 1 as the host sees it. Killing that ends everything in it.
    Kept {
        pid: i32,
        status: u8,
    },
}

pub const HOSTNAME: &str = "lab";

/// The status of a runner that panicked, as of any Rust program that does.
const PANICKED: u8 = 101;

/// PID 1, for the signal handlers of the outer process.
static CHILD: AtomicI32 = AtomicI32::new(0);
/// The first fatal signal the outer process got.
static SIGNALLED: AtomicI32 = AtomicI32::new(0);
/// Where PID 1 confirms that it no longer depends on the outer process.
static STATUS_FD: AtomicI32 = AtomicI32::new(-1);

impl Sandbox {
    /// Builds the sandbox, calls `runner` in it as PID 2 and waits for its end. The calling process should have one
    /// thread: the runner is a copy of it.
    pub fn run(self, runner: impl FnOnce(Inside) -> u8) -> Result<Outcome, SandboxError> {
        let pipe = || pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| SandboxError::Pipe { source: errno.into() });
        let cgroup = if self.cgroup { Some(LabCgroup::make()?) } else { None };
        let map = (self.rootless || !nix::unistd::geteuid().is_root()).then(UserMap::best);
        let (go_read, go_write) = pipe()?;
        let (status_read, status_write) = pipe()?;
        io::stdout().flush().ok();
        let mut flags = libc::CLONE_NEWNS
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::SIGCHLD;
        if map.is_some() {
            flags |= libc::CLONE_NEWUSER;
        }
        // SAFETY: without a stack and CLONE_VM this is fork(2); what the child shares with other threads it does not use.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags as libc::c_ulong, 0, 0, 0, 0) } as i32;
        if pid < 0 {
            return Err(clone_error(map));
        }
        if pid == 0 {
            drop((go_write, status_read));
            let mount_cgroups = cgroup.as_ref().map(LabCgroup::plan);
            // Held open until the last process of the lab ends.
            std::mem::forget(cgroup);
            PidOne { sandbox: self, map, cgroups: mount_cgroups, status: File::from(status_write) }
                .live(go_read, runner)
        }
        drop((go_read, status_write));
        CHILD.store(pid, Ordering::SeqCst);
        let (keep, interactive) = (self.keep, self.interactive);
        watch_signals(interactive);
        let let_go = || -> Result<(), SandboxError> {
            if let Some(map) = map {
                map.write(pid)?;
            }
            if let Some(cgroup) = &cgroup {
                cgroup.take_in(pid)?;
            }
            File::from(go_write).write_all(b"!").map_err(|source| SandboxError::Pipe { source })
        };
        if let Err(error) = let_go() {
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _reaped = waitpid(Pid::from_raw(pid), None);
            return Err(error);
        }
        let outcome = outcome(pid, status_read, keep);
        if let (Some(cgroup), Ok(Outcome::Kept { .. })) = (cgroup, &outcome) {
            std::mem::forget(cgroup);
        }
        outcome
    }
}

fn clone_error(map: Option<UserMap>) -> SandboxError {
    let source = io::Error::last_os_error();
    match (map, source.raw_os_error()) {
        (Some(_), Some(libc::EPERM | libc::ENOSPC | libc::EUSERS | libc::EACCES)) => {
            SandboxError::Forbidden { source, advice: forbidden::advice() }
        }
        _ => SandboxError::Clone { source },
    }
}

/// Reads what PID 1 has to say until it or the lab ends. The words: `error TEXT`, or `status N` and then `kept`.
fn outcome(pid: i32, status: OwnedFd, keep: bool) -> Result<Outcome, SandboxError> {
    let mut text = String::new();
    File::from(status).read_to_string(&mut text).map_err(|source| SandboxError::Pipe { source })?;
    if keep && text.ends_with("kept\n") {
        let status = text.lines().find_map(|line| line.strip_prefix("status ")?.parse().ok());
        return Ok(Outcome::Kept { pid, status: status.unwrap_or(1) });
    }
    let ended = loop {
        match waitpid(Pid::from_raw(pid), None) {
            Err(Errno::EINTR) => {}
            other => break other.map_err(|errno| SandboxError::Pipe { source: errno.into() })?,
        }
    };
    if let Some(message) = text.strip_prefix("error ") {
        return Err(SandboxError::SetUp { message: message.trim_end().to_owned() });
    }
    let signalled = SIGNALLED.load(Ordering::SeqCst);
    Ok(Outcome::Ended { status: if signalled != 0 { 128 + signalled as u8 } else { status_of(ended) } })
}

fn status_of(status: WaitStatus) -> u8 {
    match status {
        WaitStatus::Exited(_, code) => code as u8,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as u8,
        _ => 1,
    }
}

extern "C" fn end_the_lab(signal: libc::c_int) {
    SIGNALLED.store(signal, Ordering::SeqCst);
    // SAFETY: kill(2) is async-signal-safe.
    unsafe { libc::kill(CHILD.load(Ordering::SeqCst), libc::SIGKILL) };
}

extern "C" fn take_note(_: libc::c_int) {}

fn handle(signal: Signal, handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: every handler of this module calls async-signal-safe functions only.
    let _invalid_signals_only = unsafe { sigaction(signal, &action) };
}

fn watch_signals(interactive: bool) {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        let for_the_inside = interactive && matches!(signal, Signal::SIGINT | Signal::SIGQUIT);
        handle(signal, SigHandler::Handler(if for_the_inside { take_note } else { end_the_lab }));
    }
}

/// PID 1 of the sandbox.
struct PidOne {
    sandbox: Sandbox,
    map: Option<UserMap>,
    cgroups: Option<RootPlan>,
    status: File,
}

impl PidOne {
    fn live(mut self, go: OwnedFd, runner: impl FnOnce(Inside) -> u8) -> ! {
        // From here on the kernel ends us with the outer process; one that died before gives end of file below.
        let tied = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
        let mut byte = [0];
        if tied.is_err() || File::from(go).read_exact(&mut byte).is_err() {
            exit(1);
        }
        let inside = match self.set_up() {
            Ok(inside) => inside,
            Err(error) => {
                let refused = self.map.is_some() && is_refusal(&error);
                let advice = if refused { format!(". {}", forbidden::advice()) } else { String::new() };
                let _outer_gone = writeln!(self.status, "error {error}{advice}");
                exit(1)
            }
        };
        STATUS_FD.store(self.status.as_raw_fd(), Ordering::SeqCst);
        handle(Signal::SIGTERM, SigHandler::Handler(end_everything));
        handle(Signal::SIGUSR1, SigHandler::Handler(stand_alone));
        if self.sandbox.interactive {
            handle(Signal::SIGINT, SigHandler::Handler(take_note));
            handle(Signal::SIGQUIT, SigHandler::Handler(take_note));
        }
        // SAFETY: PID 1 has one thread.
        match unsafe { fork() } {
            Ok(ForkResult::Parent { child }) => {
                drop(inside);
                reap(child)
            }
            Ok(ForkResult::Child) => self.run_runner(runner, inside),
            Err(_) => exit(1),
        }
    }

    fn run_runner(mut self, runner: impl FnOnce(Inside) -> u8, inside: Inside) -> ! {
        handle(Signal::SIGTERM, SigHandler::SigDfl);
        handle(Signal::SIGUSR1, SigHandler::SigDfl);
        // A panic must not unwind into the copied frames of the outer process.
        let status = catch_unwind(AssertUnwindSafe(|| runner(inside))).unwrap_or(PANICKED);
        io::stdout().flush().ok();
        if !self.sandbox.keep {
            exit(status.into());
        }
        let _outer_gone = writeln!(self.status, "status {status}");
        detach();
        drop(self.status);
        let _pid_one_lives = kill(Pid::from_raw(1), Signal::SIGUSR1);
        loop {
            nix::unistd::pause();
        }
    }

    fn set_up(&self) -> Result<Inside, SetUpError> {
        if self.map.is_none_or(UserMap::allows_groups) {
            setgroups(&[]).map_err(step("setgroups"))?;
        }
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        propagate(MsFlags::MS_PRIVATE).map_err(step("making the mounts private"))?;
        sethostname(HOSTNAME).map_err(step("sethostname"))?;
        loopback::bring_up(loopback::LOOPBACK).map_err(step("bringing up lo"))?;
        let mut root = self.sandbox.root.clone();
        if let Some(cgroups) = &self.cgroups {
            unshare(CloneFlags::CLONE_NEWCGROUP).map_err(step("a control group namespace"))?;
            root.append(cgroups.clone());
        }
        let host = self.sandbox.annexe.as_ref().map(|annexe| annexe.from_host.open()).transpose()?;
        let second = self.sandbox.second_host.then(|| self.foundations(&root)).transpose()?;
        raise(vec![root.open()?])?;
        if self.cgroups.is_some() {
            cgroup::make_room_for_children()?;
        }
        // As on a machine with systemd: what one mount namespace mounts, another one sees.
        propagate(MsFlags::MS_SHARED).map_err(step("making the mounts shared"))?;
        if self.map.is_some() {
            probe_user_attributes()?;
        }
        let annexe = match (&self.sandbox.annexe, host) {
            (Some(annexe), Some(host)) => Some(build_annexe(annexe, host)?),
            _ => None,
        };
        Ok(Inside { annexe, second })
    }

    fn foundations(&self, root: &RootPlan) -> Result<Foundations, SetUpError> {
        let annexe = self.sandbox.annexe.as_ref();
        let annexe = annexe.map(|annexe| Ok::<_, RootError>((annexe.clone(), annexe.from_host.open()?))).transpose()?;
        Ok(Foundations { root: root.open()?, annexe })
    }
}

fn is_refusal(error: &SetUpError) -> bool {
    let source = match error {
        SetUpError::Step { source, .. } | SetUpError::Root(RootError::Mount { source, .. }) => source,
        _ => return false,
    };
    source.kind() == io::ErrorKind::PermissionDenied
}

pub(super) fn propagate(kind: MsFlags) -> nix::Result<()> {
    mount(None::<&str>, "/", None::<&str>, kind | MsFlags::MS_REC, None::<&str>)
}

fn probe_user_attributes() -> Result<(), SetUpError> {
    use rustix::fs::{XattrFlags, removexattr, setxattr};
    match setxattr("/", "user.layerlab", b"", XattrFlags::empty()) {
        Ok(()) => removexattr("/", "user.layerlab").map_err(step("removexattr")),
        Err(rustix::io::Errno::OPNOTSUPP) => Err(SetUpError::NoUserAttributes),
        Err(error) => Err(step("probing for user.* attributes")(error)),
    }
}

/// Lets a child build the annexe in a mount namespace of its own, and takes hold of that before the child ends.
pub(super) fn build_annexe(annexe: &Annexe, host: super::root::OpenedPlan) -> Result<OwnedFd, SetUpError> {
    let (ready, tell) = pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(step("pipe"))?;
    // SAFETY: PID 1 has one thread.
    match unsafe { fork() }.map_err(step("fork"))? {
        ForkResult::Child => {
            drop(ready);
            let built = move_into_annexe(annexe, host);
            let word = built.err().map_or_else(|| "built".to_owned(), |error| error.to_string());
            let _pid_one_gone = File::from(tell).write_all(word.as_bytes());
            loop {
                nix::unistd::pause();
            }
        }
        ForkResult::Parent { child } => {
            drop(tell);
            let mut word = String::new();
            File::from(ready).read_to_string(&mut word).map_err(step("waiting for the annexe"))?;
            let namespace = File::open(format!("/proc/{child}/ns/mnt")).map_err(step("opening the annexe"))?;
            let _killed = kill(child, Signal::SIGKILL);
            let _reaped = waitpid(child, None);
            match word.as_str() {
                "built" => Ok(namespace.into()),
                _ => Err(step("building the daemon's root")(io::Error::other(word))),
            }
        }
    }
}

fn move_into_annexe(annexe: &Annexe, host: super::root::OpenedPlan) -> Result<(), SetUpError> {
    unshare(CloneFlags::CLONE_NEWNS).map_err(step("a mount namespace"))?;
    let lab = annexe.from_lab.open()?;
    propagate(MsFlags::MS_PRIVATE).map_err(step("making the annexe's mounts private"))?;
    Ok(raise(vec![host, lab])?)
}

extern "C" fn end_everything(_: libc::c_int) {
    // SAFETY: _exit(2) is async-signal-safe; the kernel kills the whole PID namespace with its PID 1.
    unsafe { libc::_exit(128 + libc::SIGTERM) };
}

/// PID 1 of a lab that is kept: no longer tied to the outer process and its terminal.
extern "C" fn stand_alone(_: libc::c_int) {
    const KEPT: &[u8] = b"kept\n";
    let status: RawFd = STATUS_FD.load(Ordering::SeqCst);
    detach();
    // SAFETY: these system calls are async-signal-safe, and the descriptor is PID 1's own.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, 0, 0, 0, 0);
        libc::write(status, KEPT.as_ptr().cast(), KEPT.len());
        libc::close(status);
    }
}

/// Leaves the session and the terminal. Calls async-signal-safe functions only.
pub(super) fn detach() {
    // SAFETY: plain system calls on descriptors of this process.
    unsafe {
        libc::setsid();
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            for fd in 0..3 {
                libc::dup2(null, fd);
            }
        }
    }
}

/// Waits for every child that ends, as PID 1 must, until the runner does, and ends with its status.
pub(super) fn reap(runner: Pid) -> ! {
    loop {
        match waitpid(None, Some(WaitPidFlag::empty())) {
            Ok(status) if status.pid() == Some(runner) => exit(status_of(status).into()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => exit(1),
        }
    }
}

pub(super) fn exit(status: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions; nothing of the outer process may run here at exit.
    unsafe { libc::_exit(status) }
}

/// The descriptor for setns(2), kept out of programs started from here.
impl Inside {
    pub fn annexe_fd(&self) -> Option<RawFd> {
        self.annexe.as_ref().map(|fd| fd.as_fd().as_raw_fd())
    }
}
