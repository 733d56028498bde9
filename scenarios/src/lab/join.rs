//! Enters a lab that was kept: a process of its own, in all the namespaces of the lab's PID 1.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use super::furnish::LAB;
use super::machine::{BASH, command};

/// A lab that could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("there is no lab with PID {pid}: give the number that `--keep` printed; `kill` may have ended it since")]
    NoLab { pid: i32 },
    #[error("cannot enter {path}: {source}; only who started the lab, and root, may enter it")]
    Enter { path: PathBuf, source: io::Error },
    #[error("cannot start {program} in the lab: {source}")]
    Start { program: String, source: io::Error },
}

/// The namespaces to enter and how /proc names them, the user namespace first, since it gives the right to the others.
const NAMESPACES: [(&str, CloneFlags); 7] = [
    ("user", CloneFlags::CLONE_NEWUSER),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP),
    ("ipc", CloneFlags::CLONE_NEWIPC),
    ("uts", CloneFlags::CLONE_NEWUTS),
    ("net", CloneFlags::CLONE_NEWNET),
    ("pid", CloneFlags::CLONE_NEWPID),
    ("mnt", CloneFlags::CLONE_NEWNS),
];

/// Runs `argv` (the lab's bash when empty) in the lab whose PID 1 is `pid` and returns its status. The calling process
/// stays in the lab's namespaces and must have one thread.
pub fn join(pid: i32, argv: &[String]) -> Result<u8, JoinError> {
    if !Path::new(&format!("/proc/{pid}/root{LAB}")).is_dir() {
        return Err(JoinError::NoLab { pid });
    }
    let mut doors = Vec::new();
    for (name, flag) in NAMESPACES {
        let path = PathBuf::from(format!("/proc/{pid}/ns/{name}"));
        let enter = |source| JoinError::Enter { path: path.clone(), source };
        let theirs = fs::read_link(&path).map_err(enter)?;
        let ours = fs::read_link(format!("/proc/self/ns/{name}")).map_err(enter)?;
        if theirs != ours {
            doors.push((path.clone(), flag, File::open(&path).map_err(enter)?));
        }
    }
    for (path, flag, door) in doors {
        setns(door.as_fd(), flag).map_err(|errno| JoinError::Enter { path, source: errno.into() })?;
    }
    run(argv)
}

/// Runs `argv` (the lab's bash when empty) on the lab's machine and waits; the terminal is taken back afterwards.
pub fn run(argv: &[String]) -> Result<u8, JoinError> {
    use std::os::unix::process::ExitStatusExt;
    let bash = [BASH.to_owned()];
    let (program, arguments) = argv.split_first().unwrap_or((&bash[0], &[]));
    let terminal = io::stdin();
    let group = nix::unistd::tcgetpgrp(&terminal).ok();
    let status = command(program)
        .args(arguments)
        .env("PS1", r"\u@\h:\w# ")
        .status()
        .map_err(|source| JoinError::Start { program: program.clone(), source })?;
    if let Some(group) = group {
        take_back(terminal.as_raw_fd(), group);
    }
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    Ok(code as u8)
}

/// Makes `group` the foreground group again, which an interactive shell may have left to a group that is gone.
fn take_back(terminal: i32, group: nix::unistd::Pid) {
    // SAFETY: plain system calls; SIGTTOU is ignored only while a background process calls tcsetpgrp(3).
    unsafe {
        let before = libc::signal(libc::SIGTTOU, libc::SIG_IGN);
        libc::tcsetpgrp(terminal, group.as_raw());
        libc::signal(libc::SIGTTOU, before);
    }
}
