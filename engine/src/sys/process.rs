//! Processes: handles that cannot be confused by a reused number, detached starts, and the last steps before `exec`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

/// A handle on one process, held by a pidfd.
pub struct Process {
    handle: OwnedFd,
}

impl Process {
    /// Takes hold of the process that has the number `pid` now.
    pub fn open(pid: Pid) -> io::Result<Process> {
        let pid = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Process { handle: pidfd_open(pid, PidfdFlags::empty())? })
    }

    /// Takes hold of process `pid` if it is the first of a process namespace below ours: a container's. A number that
    /// was given to another process since is none.
    pub fn first_of_namespace(pid: Pid) -> Option<Process> {
        let process = Process::open(pid).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
        let numbers: Vec<&str> = numbers.split_whitespace().collect();
        (numbers.len() > 1 && numbers.last() == Some(&"1")).then_some(process)
    }

    /// Sends a signal; a process that has ended already is no error.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        let signal = rustix::process::Signal::from_named_raw(number)
            // SAFETY: the number is between 1 and 64 and only handed to the kernel, never to a handler of ours.
            .or_else(|| {
                (1..=64).contains(&number).then(|| unsafe { rustix::process::Signal::from_raw_unchecked(number) })
            })
            .ok_or(io::ErrorKind::InvalidInput)?;
        match pidfd_send_signal(&self.handle, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until the process has ended; false when `limit` passes first. No limit waits for ever.
    pub fn wait_for_end(&self, limit: Option<Duration>) -> io::Result<bool> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let timeout =
                left.map(|left| Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() });
            match poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], timeout.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}

/// Starts `command` with the limit of open files that this process began with, and deaf to signals until it calls [`leave_session`]: what the
/// terminal says meanwhile is not for it. Without a step of ours before exec it is started without a copy of this process's memory
/// (posix_spawn(3)).
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    restore_file_limit()?;
    let heard = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let child = command.spawn();
    heard.thread_set_mask()?;
    if let Err(error) = raise_file_limit() {
        tracing::warn!(%error, "the limit of open files stays low");
    }
    child
}

/// Begins a session of its own, so that this process outlives its caller's terminal, and hears signals from then on. To be called with one thread.
pub fn leave_session() -> io::Result<()> {
    match nix::unistd::setsid() {
        // It leads its group already: a shell started it as a job.
        Ok(_) | Err(nix::errno::Errno::EPERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    hear_signals_anew()
}

/// Unblocks all signals; those of a terminal that came while they were blocked are forgotten.
fn hear_signals_anew() -> io::Result<()> {
    let ignored = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: to be ignored runs no code of ours, and what there was before is there again at once.
        unsafe {
            let before = sigaction(signal, &ignored)?;
            sigaction(signal, &before)?;
        }
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Has the kernel kill this process when its parent ends, and says whether the parent `expected` is still there.
pub fn die_with_parent(expected: Option<Pid>) -> io::Result<bool> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(expected.is_none_or(|expected| nix::unistd::getppid() == expected))
}

/// Whether the kernel kills this process when its parent ends.
pub fn dies_with_parent() -> bool {
    rustix::process::parent_process_death_signal().is_ok_and(|signal| signal.is_some())
}

/// Gives every signal its default meaning and unblocks all: what a program expects to find after `exec`.
pub fn reset_signals() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default disposition runs no code of ours.
        unsafe { sigaction(signal, &default) }?;
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Replaces this process by `program`; comes back only with an error.
pub fn exec(program: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    if let Err(error) = restore_file_limit() {
        return error;
    }
    match nix::unistd::execve(program, arguments, environment) {
        Ok(never) => match never {},
        Err(errno) => errno.into(),
    }
}

/// How many files this process might have open when it began: soft and hard limit.
static FILE_LIMIT: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Lets this process have as many files open as it may at all: a tree as deep is held open from its top to its bottom. The
/// programs that it becomes or starts detached have the limit that there was before.
pub fn raise_file_limit() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    FILE_LIMIT.get_or_init(|| (soft, hard));
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// Undoes [`raise_file_limit`]; makes only system calls.
fn restore_file_limit() -> io::Result<()> {
    match FILE_LIMIT.get() {
        Some((soft, hard)) => Ok(setrlimit(Resource::RLIMIT_NOFILE, *soft, *hard)?),
        None => Ok(()),
    }
}

/// Keeps every open file but the three standard streams from the programs that this process will run: what a caller
/// left open must not reach a container.
pub fn keep_files_from_children() -> io::Result<()> {
    // SAFETY: the call changes a flag of open files and touches no memory.
    match unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets an environment variable of this process. To be called with one thread.
pub fn set_variable(name: &str, value: impl AsRef<std::ffi::OsStr>) {
    // SAFETY: with one thread nobody reads the environment meanwhile.
    unsafe { std::env::set_var(name, value) };
}

/// Ends a forked child without running what its parent meant to run at the end.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) touches no memory.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raised_limit_of_open_files_is_not_passed_on() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 100, hard).unwrap();
        raise_file_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "ulimit -Sn"]).stdout(std::process::Stdio::piped());
        let child = spawn(&mut command).unwrap();
        assert_eq!(child.wait_with_output().unwrap().stdout, b"100\n");
    }

    #[test]
    fn what_is_started_hears_nothing_until_it_says_so_and_nothing_of_before() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "kill -INT $$; kill -HUP $$; echo lives"]).stdout(std::process::Stdio::piped());
        assert_eq!(spawn(&mut command).unwrap().wait_with_output().unwrap().stdout, b"lives\n");
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGINT), "its caller hears as before");

        SigSet::all().thread_block().unwrap();
        nix::sys::signal::raise(Signal::SIGINT).unwrap();
        // It would be this process's end.
        hear_signals_anew().unwrap();
    }

    #[test]
    fn the_end_of_a_process_is_seen() {
        let mut child = Command::new("/bin/sh").args(["-c", "exec sleep 30"]).spawn().unwrap();
        let process = Process::open(Pid::from_raw(child.id() as i32)).unwrap();
        assert!(!process.wait_for_end(Some(Duration::from_millis(1))).unwrap());
        process.signal(libc::SIGKILL).unwrap();
        assert!(process.wait_for_end(None).unwrap());
        child.wait().unwrap();
        process.signal(libc::SIGTERM).unwrap();
    }
}
