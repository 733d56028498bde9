//! The second host of a lab: a machine of its own with the same furniture, joined to the first by a network cable.
//!
//! *Why*: a page that carries an image to another computer needs another computer. *Holds*: it has mount, network, PID, IPC
//! and UTS namespaces of its own, and so its own data root and its own engine; it is furnished from what was taken hold of
//! before the lab's own root was raised. Its PID 1 is a child of the runner and dies with it, and the kernel kills
//! everything on it with its PID 1. *Never*: an engine of one host sees files or processes of the other, but control
//! groups, of which a lab has one set. *Proved by* `scenarios/tests/lab.rs` and the page `two-hosts`.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::mount::MsFlags;
use nix::sys::signal::Signal;
use nix::unistd::{ForkResult, fork, sethostname};

use super::cable;
use super::loopback::{self, LOOPBACK};
use super::machine::LabMachine;
use super::root::{OpenedPlan, raise};
use super::sandbox::{Annexe, Inside, SetUpError, build_annexe, exit, propagate, reap, step};
use crate::page::{Arrangement, Host};
use crate::replay::Machine;
use crate::target::Installation;

/// What the second host is raised from: the plans of the first, opened once more.
pub struct Foundations {
    pub(super) root: OpenedPlan,
    pub(super) annexe: Option<(Annexe, OpenedPlan)>,
}

/// A second host that could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecondHostError {
    #[error("cannot make the namespaces of the second host: {source}")]
    Clone { source: io::Error },
    #[error("cannot join the second host to the first: {source}")]
    Cable { source: io::Error },
    #[error("cannot talk to the second host: {source}")]
    Link { source: io::Error },
    #[error("setting up the second host failed: {0}")]
    SetUp(String),
}

/// The second host as the runner, which lives on the first, has it.
pub struct SecondHost {
    link: BufReader<UnixStream>,
    /// Mount, network, UTS, IPC and PID namespace, to be entered in this order.
    doors: Vec<OwnedFd>,
}

const DOORS: [&str; 5] = ["mnt", "net", "uts", "ipc", "pid"];
/// What the second host says once it stands, and what it is told once the cable lies.
const STANDS: &str = "stands";
const JOINED: &str = "joined";

impl SecondHost {
    /// Starts the second host with an engine that is not yet installed. The calling process must have one thread.
    pub fn begin(
        foundations: Foundations,
        name: &'static str,
        installation: Box<dyn Installation>,
    ) -> Result<SecondHost, SecondHostError> {
        let failed = |source| SecondHostError::Link { source };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        io::stdout().flush().ok();
        let flags = libc::CLONE_NEWNS
            | libc::CLONE_NEWNET
            | libc::CLONE_NEWPID
            | libc::CLONE_NEWIPC
            | libc::CLONE_NEWUTS
            | libc::SIGCHLD;
        // SAFETY: without a stack and CLONE_VM this is fork(2), and the caller has one thread.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags as libc::c_ulong, 0, 0, 0, 0) } as i32;
        if pid < 0 {
            return Err(SecondHostError::Clone { source: io::Error::last_os_error() });
        }
        if pid == 0 {
            drop(ours);
            live(theirs, foundations, name, installation)
        }
        drop((theirs, foundations));
        let open = |name| File::open(format!("/proc/{pid}/ns/{name}")).map(OwnedFd::from).map_err(failed);
        let doors = DOORS.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut host = SecondHost { link: BufReader::new(ours), doors };
        let answer = host.answer()?;
        if answer != STANDS {
            return Err(SecondHostError::SetUp(answer));
        }
        let joined = cable::lay(host.doors[1].as_fd()).and_then(|()| cable::plug_in(Host::First.address()));
        joined.map_err(|source| SecondHostError::Cable { source })?;
        match host.ask(JOINED)? {
            Ok(_) => Ok(host),
            Err(why) => Err(SecondHostError::SetUp(why)),
        }
    }

    /// Does there what a line of a `lab` block says.
    pub fn arrange(&mut self, arrangement: Arrangement) -> Result<(), String> {
        self.ask(arrangement.words()).map_err(|error| error.to_string())?.map(|_| ())
    }

    /// What the engine there has logged.
    pub fn engine_log(&mut self) -> String {
        self.ask("log").ok().and_then(Result::ok).unwrap_or_default()
    }

    /// Lets a command, meant for the first host, run on the second.
    pub fn send_there(&self, command: &mut Command) {
        let doors: Vec<RawFd> = self.doors.iter().map(AsRawFd::as_raw_fd).collect();
        // SAFETY: between fork and exec only system calls are made; `doors` was allocated before.
        unsafe {
            command.pre_exec(move || pass(&doors));
        }
    }

    fn ask(&mut self, question: &str) -> Result<Result<String, String>, SecondHostError> {
        writeln!(self.link.get_mut(), "{question}").map_err(|source| SecondHostError::Link { source })?;
        let answer = self.answer()?;
        serde_json::from_str(&answer).map_err(|error| SecondHostError::Link { source: error.into() })
    }

    fn answer(&mut self) -> Result<String, SecondHostError> {
        let mut line = String::new();
        match self.link.read_line(&mut line) {
            Ok(0) => Err(SecondHostError::SetUp("it ended".into())),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(source) => Err(SecondHostError::Link { source }),
        }
    }
}

/// Goes through the doors. A PID namespace takes in children only, so the caller stays behind as the one who waits for the
/// process that goes on.
fn pass(doors: &[RawFd]) -> io::Result<()> {
    for door in doors {
        // SAFETY: setns(2) on a descriptor that is open.
        if unsafe { libc::setns(*door, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: fork(2) in a process of one thread; the parent makes system calls only.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(rustix::process::chdir("/root")?),
        child => unsafe {
            // What was inherited goes, the pipe by which the caller learns of the exec before all.
            libc::close_range(3, libc::c_uint::MAX, 0);
            let mut status = 0;
            while libc::waitpid(child, &raw mut status, 0) < 0 && *libc::__errno_location() == libc::EINTR {}
            libc::_exit(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { 128 + libc::WTERMSIG(status) })
        },
    }
}

/// PID 1 of the second host.
fn live(link: UnixStream, foundations: Foundations, name: &'static str, installation: Box<dyn Installation>) -> ! {
    let tied = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
    let set_up = set_up(foundations);
    let mut link = BufReader::new(link);
    let word = set_up.as_ref().err().map_or_else(|| STANDS.to_owned(), ToString::to_string);
    let told = writeln!(link.get_mut(), "{}", word.replace('\n', " "));
    let mut answer = String::new();
    let (Ok(inside), Ok(()), Ok(()), Ok(1..)) = (set_up, tied, told, link.read_line(&mut answer)) else { exit(1) };
    // SAFETY: PID 1 has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => {
            drop((inside, link));
            reap(child)
        }
        Ok(ForkResult::Child) => exit(i32::from(serve(link, inside, name, installation).is_err())),
        Err(_) => exit(1),
    }
}

fn set_up(foundations: Foundations) -> Result<Inside, SetUpError> {
    propagate(MsFlags::MS_PRIVATE).map_err(step("making the mounts private"))?;
    sethostname(Host::Second.name()).map_err(step("sethostname"))?;
    loopback::bring_up(LOOPBACK).map_err(step("bringing up lo"))?;
    raise(vec![foundations.root])?;
    let name = Host::Second.name();
    fs::write("/etc/hostname", format!("{name}\n")).map_err(step("writing /etc/hostname"))?;
    let hosts = format!("127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n");
    fs::write("/etc/hosts", hosts).map_err(step("writing /etc/hosts"))?;
    propagate(MsFlags::MS_SHARED).map_err(step("making the mounts shared"))?;
    let annexe = foundations.annexe.map(|(annexe, host)| build_annexe(&annexe, host)).transpose()?;
    Ok(Inside { annexe, second: None })
}

/// Does what the runner asks for, until it is gone.
fn serve(
    mut link: BufReader<UnixStream>,
    inside: Inside,
    name: &'static str,
    installation: Box<dyn Installation>,
) -> io::Result<()> {
    let machine = cable::plug_in(Host::Second.address())
        .map_err(|error| format!("its network device cannot be set up: {error}"))
        .and_then(|()| LabMachine::new(name, installation, inside, None, None).map_err(|error| error.to_string()));
    let answer = |link: &mut BufReader<UnixStream>, answer: Result<String, String>| {
        let text = serde_json::to_string(&answer).map_err(io::Error::from)?;
        writeln!(link.get_mut(), "{text}")
    };
    let mut machine = match machine {
        Ok(machine) => machine,
        Err(why) => return answer(&mut link, Err(why)),
    };
    machine.receive_files();
    answer(&mut link, Ok(String::new()))?;
    let mut question = String::new();
    while link.read_line(&mut question)? > 0 {
        let done = match question.trim_end() {
            "log" => Ok(machine.engine_log()),
            words => {
                Arrangement::parse(words).and_then(|arrangement| machine.arrange(arrangement)).map(|()| String::new())
            }
        };
        answer(&mut link, done)?;
        question.clear();
    }
    Ok(())
}
