//! A further process in a container that runs: it joins the namespaces of the container's first process.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::CloneFlags;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::launch::{LaunchError, become_streams};
use super::program::{Program, become_program};
use crate::sys::namespace::{self, Forked, fork_into};
use crate::sys::process;
use crate::sys::terminal::{self, Pty, RawMode};

/// How long what a program said may take to be shown after its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

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
    let pipes = if streams.tty || streams.detached { Pipes::default() } else { Pipes::for_terminals(streams)? };
    let (mut report, report_in) = io::pipe()?;
    // The namespaces of processes bind only those born later, so the program is a child of the process that joins.
    let joiner = match fork_into(CloneFlags::empty())? {
        Forked::Parent { child } => child,
        Forked::Child => {
            drop(report);
            join_and_run(container, program, streams, (pty.as_ref(), &pipes), report_in)
        }
    };
    drop(report_in);
    let relay = if streams.tty { Relay::start(pty, streams)? } else { pipes.relay()? };
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

fn join_and_run(
    container: Pid,
    program: &Program,
    streams: Streams,
    (pty, pipes): (Option<&Pty>, &Pipes),
    report: io::PipeWriter,
) -> ! {
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
            let error = match take_streams(streams, pty, pipes) {
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

fn take_streams(streams: Streams, pty: Option<&Pty>, pipes: &Pipes) -> io::Result<()> {
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
    if let Some((read, _)) = &pipes.input {
        rustix::stdio::dup2_stdin(read)?;
    }
    if let Some((_, write)) = &pipes.output {
        rustix::stdio::dup2_stdout(write)?;
    }
    if let Some((_, write)) = &pipes.error {
        rustix::stdio::dup2_stderr(write)?;
    }
    Ok(())
}

/// Stand between a program without a terminal and those of the caller's streams that are one, which it must not see.
#[derive(Default)]
struct Pipes {
    input: Option<(io::PipeReader, io::PipeWriter)>,
    output: Option<(io::PipeReader, io::PipeWriter)>,
    error: Option<(io::PipeReader, io::PipeWriter)>,
}

impl Pipes {
    fn for_terminals(streams: Streams) -> io::Result<Pipes> {
        let pipe = |is_terminal: bool| is_terminal.then(io::pipe).transpose();
        Ok(Pipes {
            input: pipe(streams.interactive && io::stdin().is_terminal())?,
            output: pipe(io::stdout().is_terminal())?,
            error: pipe(io::stderr().is_terminal())?,
        })
    }

    /// Carries bytes through the pipes, of which only this end is kept.
    fn relay(self) -> io::Result<Relay> {
        if let Some((_, write)) = self.input {
            thread::spawn(move || copy(io::stdin(), write));
        }
        let output = self.output.map(|(read, _)| thread::spawn(move || copy(read, io::stdout())));
        let error = self.error.map(|(read, _)| thread::spawn(move || copy(read, io::stderr())));
        Ok(Relay { outputs: output.into_iter().chain(error).collect(), _raw: None })
    }
}

/// Carries bytes between the caller's terminal and the one inside.
struct Relay {
    outputs: Vec<thread::JoinHandle<()>>,
    _raw: Option<RawMode>,
}

impl Relay {
    fn start(pty: Option<Pty>, streams: Streams) -> io::Result<Relay> {
        let Some(Pty { controller, terminal }) = pty else { return Ok(Relay { outputs: Vec::new(), _raw: None }) };
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
        Ok(Relay { outputs: vec![output], _raw: raw })
    }

    /// Waits for what the program still said, but not for what it left running in the background.
    fn finish(self) {
        let deadline = Instant::now() + LAST_WORDS;
        while self.outputs.iter().any(|output| !output.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
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
