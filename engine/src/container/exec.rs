//! A further process in a container that runs: it joins the namespaces of the container's first process.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::launch::{LaunchError, become_streams};
use super::program::{Program, become_program};
use crate::sys::namespace::{self, Forked, fork_into};
use crate::sys::process;
use crate::sys::terminal::{self, Pty, RawMode};

/// What of the caller's standard streams the new process gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Streams {
    /// Whether the caller's input reaches it.
    pub interactive: bool,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// Whether it gets none of them and outlives the caller.
    pub detached: bool,
}

/// Runs `program` in the container whose first process is `container`, and says how it ended (128 + signal when it was
/// killed; 0 for one that is detached). To be called with one thread.
pub fn exec(container: Pid, program: &Program, streams: Streams) -> Result<i32, LaunchError> {
    let pty = if streams.tty {
        Some(terminal::open_pty(&Path::new("/proc").join(container.to_string()).join("root/dev/pts/ptmx"))?)
    } else {
        None
    };
    let (mut report, report_in) = io::pipe()?;
    // The namespaces of processes bind only those born later, so the program is a child of the process that joins.
    let joiner = match fork_into(CloneFlags::empty())? {
        Forked::Parent { child } => child,
        Forked::Child => {
            drop(report);
            join_and_run(container, program, streams, pty.as_ref(), report_in)
        }
    };
    drop(report_in);
    let relay = Relay::start(pty, streams)?;
    let mut failure = Vec::new();
    report.read_to_end(&mut failure)?;
    let code = exit_code(waitpid(joiner, None).map_err(io::Error::from)?);
    relay.finish();
    match failure.as_slice() {
        [a, b, c, d, text @ ..] => {
            let text = String::from_utf8_lossy(text).into_owned();
            Err(LaunchError { text, exit_code: i32::from_be_bytes([*a, *b, *c, *d]) })
        }
        _ => Ok(code),
    }
}

/// The exit code that a shell would show.
pub(super) fn exit_code(status: WaitStatus) -> i32 {
    match status {
        WaitStatus::Exited(_, code) => code,
        WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
        _ => 255,
    }
}

fn join_and_run(container: Pid, program: &Program, streams: Streams, pty: Option<&Pty>, report: io::PipeWriter) -> ! {
    let bound = if streams.detached { Ok(true) } else { process::die_with_parent(None) };
    let joined = bound.and_then(|_| {
        let own =
            CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
        namespace::join(container, own | CloneFlags::CLONE_NEWNET)
    });
    match joined.and_then(|()| fork_into(CloneFlags::empty())) {
        Ok(Forked::Parent { child }) => {
            drop(report);
            if streams.detached {
                process::exit_now(0);
            }
            process::exit_now(waitpid(child, None).map_or(255, exit_code));
        }
        Ok(Forked::Child) => {
            let error = match take_streams(streams, pty) {
                Ok(()) => become_program(program).into(),
                Err(error) => LaunchError::from(error),
            };
            fail(report, &error)
        }
        Err(error) => fail(report, &error.into()),
    }
}

fn fail(mut report: io::PipeWriter, error: &LaunchError) -> ! {
    let mut message = error.exit_code.to_be_bytes().to_vec();
    message.extend(error.text.as_bytes());
    // The caller sees an early end of input if even this cannot be said.
    let _ = report.write_all(&message);
    process::exit_now(error.exit_code)
}

fn take_streams(streams: Streams, pty: Option<&Pty>) -> io::Result<()> {
    nix::unistd::setsid()?;
    if streams.detached {
        let nothing = File::options().read(true).write(true).open("/dev/null")?;
        return become_streams(&nothing, &nothing, &nothing);
    }
    process::die_with_parent(None)?;
    if let Some(pty) = pty {
        terminal::take_control(&pty.terminal)?;
        return become_streams(&pty.terminal, &pty.terminal, &pty.terminal);
    }
    if !streams.interactive {
        rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    }
    Ok(())
}

/// Carries bytes between the caller's terminal and the one inside.
struct Relay {
    output: Option<thread::JoinHandle<()>>,
    _raw: Option<RawMode>,
}

impl Relay {
    fn start(pty: Option<Pty>, streams: Streams) -> io::Result<Relay> {
        let Some(Pty { controller, terminal }) = pty else { return Ok(Relay { output: None, _raw: None }) };
        // Held here it would keep the relay waiting after the last process inside has closed it.
        drop(terminal);
        let raw = if streams.interactive && terminal::size(io::stdin()).is_some() {
            Some(RawMode::enter(io::stdin())?)
        } else {
            None
        };
        follow_window(&controller)?;
        if streams.interactive {
            let input = File::from(controller.try_clone()?);
            thread::spawn(move || copy(io::stdin(), input));
        }
        let output = thread::spawn(move || copy(File::from(controller), io::stdout()));
        Ok(Relay { output: Some(output), _raw: raw })
    }

    fn finish(self) {
        if let Some(output) = self.output {
            let _ = output.join();
        }
    }
}

/// Keeps the size of the terminal inside like that of the caller's.
fn follow_window(controller: &OwnedFd) -> io::Result<()> {
    let controller = controller.try_clone()?;
    let adopt = move || {
        if let Some(size) = terminal::size(io::stdin().as_fd()) {
            let _ = terminal::set_size(&controller, size);
        }
    };
    adopt();
    on_window_change(adopt)
}

/// Calls `action` on a thread of its own whenever the caller's terminal changes its size.
pub(super) fn on_window_change(action: impl Fn() + Send + 'static) -> io::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGWINCH);
    signals.thread_block()?;
    thread::spawn(move || {
        while signals.wait().is_ok() {
            action();
        }
    });
    Ok(())
}

/// Copies until either side ends; a terminal whose other side is gone reads as an error, which is an end too.
fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = [0; 8192];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}
