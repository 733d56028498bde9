//! Who is timed: our engine, what people use today, and the floor.
//!
//! *Holds*: a peer is the program as it is installed here, with its own settings and state below the bed; what is not here is told with
//! what to install. *Never*: a peer's library is linked. To add one: write its file, list it below.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::Bed;
use crate::task::succeed;

mod containerd;
mod docker;
mod drivers;
mod floor;
mod layerlab;
mod podman;
mod runtimes;
mod tools;

/// How a peer is found and begun on a bed.
pub struct Kind {
    pub name: &'static str,
    begin: fn(&'static str, &Bed) -> anyhow::Result<Peer>,
}

/// Every kind, ours first and the floor last.
pub const KINDS: [Kind; 10] = [
    Kind { name: "layerlab", begin: layerlab::begin },
    Kind { name: "layerlab-vfs", begin: drivers::vfs },
    Kind { name: "layerlab-fuse-overlayfs", begin: drivers::fuse_overlayfs },
    Kind { name: "docker", begin: docker::begin },
    Kind { name: "podman", begin: podman::begin },
    Kind { name: "containerd", begin: containerd::begin },
    Kind { name: "skopeo+umoci", begin: tools::begin },
    Kind { name: "crun", begin: runtimes::begin },
    Kind { name: "runc", begin: runtimes::begin },
    Kind { name: FLOOR, begin: floor::begin },
];

/// What no tool can go below.
pub const FLOOR: &str = "floor";
/// Ours.
pub const OURS: &str = "layerlab";

/// Why a peer is not here, and how to get it: an error that fails nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Missing(pub String);

/// Which words a peer understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// `docker`'s.
    Docker,
    /// `docker`'s, and it is asked only for what tells storage drivers apart.
    Driver,
    /// `ctr`'s.
    Ctr,
    /// `skopeo`'s and `umoci`'s, each with its name before them.
    Tools,
    /// Those of an OCI runtime's command line.
    Runtime,
    /// None: it is done in this process.
    Nothing,
}

/// One that was begun.
pub struct Peer {
    pub name: &'static str,
    pub speaks: Speaks,
    /// What it says it is.
    pub version: String,
    /// The program and the words that come before all others.
    words: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    daemon: Option<Daemon>,
}

impl Kind {
    /// Begins it. [`Missing`]: it is not here.
    pub fn begin(&self, bed: &Bed) -> anyhow::Result<Peer> {
        (self.begin)(self.name, bed).with_context(|| format!("cannot begin {}", self.name))
    }
}

impl Peer {
    /// Its program with `words`.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut all = self.words.iter().cloned().chain(words.iter().map(OsString::from));
        let mut command = Command::new(all.next().unwrap_or_default());
        command.args(all).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it with `words` to its end: what it wrote.
    pub fn ask(&self, words: &[&str]) -> anyhow::Result<String> {
        succeed(self.command(words))
    }

    /// The process that does the work for its command line, where there is one.
    pub fn daemons(&self) -> Vec<u32> {
        self.daemon.iter().map(|daemon| daemon.0.id()).collect()
    }

    /// Whether it understands what `docker` does.
    pub fn speaks_docker(&self) -> bool {
        self.speaks == Speaks::Docker
    }
}

/// A process that ends with this value, or with this process.
struct Daemon(Child);

impl Daemon {
    /// Begins it, and waits until `answers` says that it does.
    fn begin(mut command: Command, log: &Path, answers: impl Fn() -> bool) -> anyhow::Result<Daemon> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let out = File::create(log).with_context(|| format!("cannot make {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        // SAFETY: between fork and exec only a system call is made.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            });
        }
        let child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
        let mut daemon = Daemon(child);
        let begun = Instant::now();
        while !answers() {
            if daemon.0.try_wait()?.is_some() || begun.elapsed() > PATIENCE {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{} does not answer; it said: {said}", command.get_program().display());
            }
            sleep(Duration::from_millis(50));
        }
        Ok(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        if let Err(error) = self.0.wait() {
            eprintln!("cannot wait for a daemon: {error}");
        }
    }
}

/// Where a program is, in PATH or where distributions put what is root's.
fn found(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let places = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(name)).find(|path| path.is_file())
}

/// All of these programs, or which are missing and the packages that have them.
fn all_found<const N: usize>(names: [&str; N], packages: &str) -> Result<[PathBuf; N], Missing> {
    let missing: Vec<&str> = names.into_iter().filter(|name| found(name).is_none()).collect();
    match missing.is_empty() {
        true => Ok(names.map(|name| found(name).unwrap_or_default())),
        false => Err(Missing(format!("no {}: apt-get install {packages}", missing.join(", no ")))),
    }
}

/// Those that want to mount and to make namespaces as the host's root.
fn wants_root(bed: &Bed) -> Result<(), Missing> {
    match bed.is_root {
        true => Ok(()),
        false => Err(Missing("it is measured as root only".to_owned())),
    }
}

/// The first line that it says of its version.
fn version(program: &Path, flag: &str) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.arg(flag);
    Ok(succeed(command)?.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let Err(Missing(why)) = all_found(["sh", "no-such-program"], "such") else { panic!("it was found") };
        assert_eq!(why, "no no-such-program: apt-get install such");
    }
}
