//! The first process of a container: new namespaces, its file system, its network, and then the program.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::bridge::{self, Place};
use super::program::{Program, ProgramError, become_program};
use super::rootfs::{self, Bind, Restrictions, RootfsError};
use crate::sys::namespace::{self, Forked};
use crate::sys::reason::reason;
use crate::sys::{mount, process, terminal};

/// The network a container sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Its own, with a loopback device and this address on it.
    Own(Ipv4Addr),
    /// Its own, with a device that leads to the bridge.
    Bridged(Place),
    /// Its own, with nothing but a loopback device.
    None,
    /// The engine's.
    Host,
    /// That of the container with this first process.
    Joined(Pid),
}

/// How a container is to be started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Where its file system is mounted.
    pub rootfs: PathBuf,
    /// Its host name.
    pub hostname: String,
    /// Its network.
    pub network: Network,
    /// Files and directories of the host that the container sees, outer ones first.
    pub binds: Vec<Bind>,
    /// What of the kernel's files its programs must not see or write.
    pub restrictions: Restrictions,
    /// What runs in it.
    pub program: Program,
    /// Whether the program gets a terminal (else three pipes).
    pub tty: bool,
    /// Whether anything can be typed into it.
    pub open_stdin: bool,
}

/// A container that runs.
pub struct Launched {
    /// Its first process, as seen from here.
    pub pid: Pid,
    /// Where its input goes, when it takes any.
    pub stdin: Option<OwnedFd>,
    /// Its output, or all that its terminal shows.
    pub stdout: OwnedFd,
    /// Its error output, when it has no terminal.
    pub stderr: Option<OwnedFd>,
    /// The controlling end of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// Why a container could not be started, and the exit code that says so.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text}")]
pub struct LaunchError {
    /// The reason.
    pub text: String,
    /// 125, 126 or 127, as `docker run` exits.
    pub exit_code: i32,
}

impl From<io::Error> for LaunchError {
    fn from(error: io::Error) -> LaunchError {
        LaunchError { text: reason(&error), exit_code: 125 }
    }
}

impl From<RootfsError> for LaunchError {
    fn from(error: RootfsError) -> LaunchError {
        LaunchError { text: error.to_string(), exit_code: 125 }
    }
}

impl From<ProgramError> for LaunchError {
    fn from(error: ProgramError) -> LaunchError {
        LaunchError { text: error.to_string(), exit_code: error.exit_code() }
    }
}

/// What the child keeps: its ends of three streams, and the network that it joins.
struct Kept {
    network: Option<File>,
    stdin: Option<PipeReader>,
    stdout: PipeWriter,
    stderr: PipeWriter,
}

/// Starts a container. To be called with one thread. The container is killed when this process ends.
/// `connect` is told its first process while that waits in its new namespaces.
pub fn launch(launch: &Launch, connect: impl FnOnce(Pid) -> io::Result<()>) -> Result<Launched, LaunchError> {
    let (control, child_control) = UnixStream::pair()?;
    let (stdin_out, stdin_in) = io::pipe()?;
    let (stdout_out, stdout_in) = io::pipe()?;
    let (stderr_out, stderr_in) = io::pipe()?;
    let mut flags =
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    if !matches!(launch.network, Network::Host | Network::Joined(_)) {
        flags |= CloneFlags::CLONE_NEWNET;
    }
    let joined = match launch.network {
        Network::Joined(other) => Some(namespace::network_of(other)?),
        _ => None,
    };
    let pid = match namespace::fork_into(flags)? {
        Forked::Parent { child } => child,
        Forked::Child => {
            drop((control, stdin_in, stdout_out, stderr_out));
            let stdin = launch.open_stdin.then_some(stdin_out);
            run_child(launch, child_control, Kept { stdin, stdout: stdout_in, stderr: stderr_in, network: joined })
        }
    };
    drop((child_control, stdin_out, stdout_in, stderr_in));
    if let Err(error) = connect(pid) {
        // Without a word from here the child ends by itself.
        drop(control);
        nix::sys::wait::waitpid(pid, None).map_err(io::Error::from)?;
        return Err(LaunchError {
            text: format!("failed to connect the container to the bridge: {}", reason(&error)),
            exit_code: 125,
        });
    }
    let terminal = match wait_for_exec(&control) {
        Ok(terminal) => terminal,
        Err(error) => {
            nix::sys::wait::waitpid(pid, None).map_err(io::Error::from)?;
            return Err(error);
        }
    };
    Ok(match terminal {
        Some(terminal) => Launched {
            pid,
            stdin: launch.open_stdin.then(|| terminal.try_clone()).transpose()?,
            stdout: terminal.try_clone()?,
            stderr: None,
            terminal: Some(terminal),
        },
        None => Launched {
            pid,
            stdin: launch.open_stdin.then(|| stdin_in.into()),
            stdout: stdout_out.into(),
            stderr: Some(stderr_out.into()),
            terminal: None,
        },
    })
}

/// Lets the child go on and hears what it has to say until its program runs: its terminal, or why it failed.
fn wait_for_exec(control: &UnixStream) -> Result<Option<OwnedFd>, LaunchError> {
    { control }.write_all(b"go")?;
    let mut terminal = None;
    loop {
        let mut message = [0; 8192];
        let (count, file) = terminal::receive_with_file(control, &mut message)?;
        match message[..count] {
            [] => return Ok(terminal),
            [b'P', ..] => terminal = file,
            [b'E', a, b, c, d, ref text @ ..] => {
                let text = String::from_utf8_lossy(text).into_owned();
                return Err(LaunchError { text, exit_code: i32::from_be_bytes([a, b, c, d]) });
            }
            _ => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }
}

fn run_child(launch: &Launch, mut control: UnixStream, kept: Kept) -> ! {
    let error = match become_container(launch, &mut control, kept) {
        Err(error) => error,
        Ok(never) => match never {},
    };
    let mut message = vec![b'E'];
    message.extend(error.exit_code.to_be_bytes());
    message.extend(error.text.as_bytes());
    // Nobody is left to hear it when the parent is gone.
    let _ = control.write_all(&message);
    process::exit_now(error.exit_code)
}

fn become_container(
    launch: &Launch,
    control: &mut UnixStream,
    kept: Kept,
) -> Result<std::convert::Infallible, LaunchError> {
    process::die_with_parent(None)?;
    // Only a parent that lives says this; one that died before the line above would never be noticed.
    control.read_exact(&mut [0; 2])?;
    nix::unistd::setsid().map_err(io::Error::from)?;
    nix::unistd::sethostname(&launch.hostname).map_err(io::Error::from)?;
    match launch.network {
        Network::Own(address) => namespace::loopback_up(Some(address))?,
        Network::Bridged(place) => {
            namespace::loopback_up(None)?;
            bridge::settle(&place)?;
        }
        Network::None => namespace::loopback_up(None)?,
        Network::Host => {}
        Network::Joined(_) => kept.network.as_ref().map_or(Ok(()), namespace::enter_network)?,
    }
    rootfs::enter(&launch.rootfs, &launch.binds, &launch.restrictions)?;
    let directory = &launch.program.directory;
    if !directory.is_empty() {
        // One that is in a volume may be missing there.
        std::fs::create_dir_all(directory)
            .map_err(|error| LaunchError { text: format!("mkdir {directory}: {}", reason(&error)), exit_code: 125 })?;
    }
    if launch.tty {
        let pty = terminal::open_pty(Path::new("/dev/pts/ptmx"))?;
        terminal::send_with_file(&*control, b"P", Some(pty.controller.as_raw_fd()))?;
        File::create("/dev/console")?;
        mount::bind(&PathBuf::from(format!("/proc/self/fd/{}", pty.terminal.as_raw_fd())), Path::new("/dev/console"))?;
        terminal::take_control(&pty.terminal)?;
        become_streams(pty.terminal.as_fd(), pty.terminal.as_fd(), pty.terminal.as_fd())?;
    } else {
        let nothing = File::open("/dev/null")?;
        let stdin = kept.stdin.as_ref().map_or(nothing.as_fd(), AsFd::as_fd);
        become_streams(stdin, kept.stdout.as_fd(), kept.stderr.as_fd())?;
    }
    Err(become_program(&launch.program).into())
}

/// Makes three files the standard streams of this process.
pub(super) fn become_streams(stdin: impl AsFd, stdout: impl AsFd, stderr: impl AsFd) -> io::Result<()> {
    rustix::stdio::dup2_stdin(stdin)?;
    rustix::stdio::dup2_stdout(stdout)?;
    Ok(rustix::stdio::dup2_stderr(stderr)?)
}
