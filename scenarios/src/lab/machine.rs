//! The machine a page speaks to, seen from the runner inside the lab: a shell, the engine, and what lies on disk.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::furnish::PACKAGES;
use super::repository;
use super::sandbox::Inside;
use super::second::SecondHost;
use super::serve::{self, Hub, ServeError};
use crate::listing::listing_without_sizes;
use crate::page::{Arrangement, Host, Mood};
use crate::registry::RegistryHandle;
use crate::replay::Machine;
use crate::target::{Installation, TargetError};

/// Where Docker keeps everything.
pub const DATA_ROOT: &str = "/var/lib/docker";
/// Where a page's shell looks for commands; an engine is installed into the first.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Where our engine logs to.
pub const ENGINE_LOG: &str = "/var/log/layerlab.log";
/// The lab's bash.
pub const BASH: &str = "/usr/bin/bash";
/// The guest's receiver of what `scp` sends.
const FILE_RECEIVER: &str = "/bin/scp-server";
/// Its prompt on a page, with the mark (OSC 133) by which a replay knows it and the last exit code.
const PROMPT: &str = r"\[\e]133;D;$?\a\]# ";

/// A wish of a page that the lab could not fulfil.
#[derive(Debug, thiserror::Error)]
pub enum ArrangeError {
    #[error("the registry does not start again: {0}")]
    Registry(#[from] ServeError),
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// The inside of a lab with a target in it.
pub struct LabMachine {
    name: &'static str,
    installation: Box<dyn Installation>,
    /// An engine that is installed with it, and not started.
    beside: Option<Box<dyn Installation>>,
    inside: Inside,
    registry: Option<RegistryHandle>,
    second: Option<SecondHost>,
    /// The host that steps are typed on.
    here: Host,
    /// One that asks who its clients are, when a page wants it.
    guarded: Option<RegistryHandle>,
    /// Docker Hub's index; a second host has none.
    _hub: Option<RegistryHandle>,
}

impl LabMachine {
    /// A machine whose registry answers.
    pub fn new(
        name: &'static str,
        installation: Box<dyn Installation>,
        inside: Inside,
        second: Option<SecondHost>,
        hub: Option<Hub>,
    ) -> Result<LabMachine, ServeError> {
        let registry = Some(serve::serve(Mood::Honest)?);
        let hub = hub.map(serve::serve_index).transpose()?;
        if Path::new(PACKAGES).exists() {
            repository::serve().map_err(ServeError::Packages)?;
        }
        // A machine that has been up for a day has a database for locate.
        if let Err(error) = command("/usr/bin/updatedb").status() {
            eprintln!("layerlab-lab: no database for locate: {error}");
        }
        Ok(LabMachine {
            name,
            installation,
            beside: None,
            inside,
            registry,
            guarded: None,
            _hub: hub,
            second,
            here: Host::First,
        })
    }

    /// Installs another engine together with the first.
    pub fn has_beside(&mut self, beside: Option<Box<dyn Installation>>) {
        self.beside = beside;
    }

    /// Lets the registries answer for as long as the process lives.
    pub fn leave_registry(self) {
        std::mem::forget(self);
    }

    /// Lets other hosts copy files here with `scp`, from now on.
    pub fn receive_files(&mut self) {
        if !Path::new(FILE_RECEIVER).exists() {
            return;
        }
        let mut receiver = command(FILE_RECEIVER);
        receiver.args(["--listen", "0.0.0.0:22"]);
        receiver.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Err(error) = receiver.spawn() {
            eprintln!("layerlab-lab: no files can be received: {error}");
        }
    }

    fn fulfil(&mut self, arrangement: Arrangement) -> Result<(), ArrangeError> {
        match arrangement {
            Arrangement::InstallDocker => {
                self.installation.install()?;
                self.beside.as_mut().map_or(Ok(()), |beside| beside.install())?;
            }
            Arrangement::StartDocker => self.installation.start(&self.inside)?,
            Arrangement::Host(host) => self.here = host,
            Arrangement::Guarded(guard) => {
                drop(self.guarded.take());
                self.guarded = Some(serve::serve_guarded(guard)?);
            }
            Arrangement::Registry(mood) => {
                // Ends the registry first: there is one port for both.
                drop(self.registry.take());
                self.registry = Some(serve::serve(mood)?);
            }
        }
        Ok(())
    }
}

impl Machine for LabMachine {
    fn target(&self) -> &str {
        self.name
    }

    fn arrange(&mut self, arrangement: Arrangement) -> Result<(), String> {
        match (&mut self.second, self.here, arrangement) {
            (None, _, Arrangement::Host(Host::Second)) => Err("this lab has one host only".into()),
            (_, _, Arrangement::Host(_)) | (None, _, _) | (_, Host::First, _) => {
                self.fulfil(arrangement).map_err(|error| error.to_string())
            }
            (Some(second), Host::Second, _) => second.arrange(arrangement),
        }
    }

    fn shell(&mut self) -> Result<Command, String> {
        let mut bash = command(BASH);
        bash.env("PS1", PROMPT);
        if let (Some(second), Host::Second) = (&self.second, self.here) {
            second.send_there(&mut bash);
        }
        Ok(bash)
    }

    fn engine_log(&mut self) -> String {
        match (&mut self.second, self.here) {
            (Some(second), Host::Second) => second.engine_log(),
            _ => self.installation.engine_log(),
        }
    }

    fn data_root(&self) -> Option<PathBuf> {
        Some(DATA_ROOT.into())
    }

    fn tree(&mut self) -> Result<String, String> {
        let root = Path::new(self.installation.data_root());
        if !root.exists() {
            return Ok(String::new());
        }
        listing_without_sizes(root, &is_volatile).map_err(|error| format!("cannot list {}: {error}", root.display()))
    }
}

/// Files whose length differs from run to run, since they hold times, or from build to build: records of containers and
/// images, the guest, and what holds it or tells of its bytes (packages and their lists, `tar-split.json.gz`).
fn is_volatile(path: &Path) -> bool {
    let programs = ["bin/layerlab-guest", "usr/bin/vim.basic", "usr/sbin/nginx", "usr/sbin/httpd"];
    let endings = [".deb", ".rpm", "_Packages", "tar-split.json.gz"];
    path.starts_with("containers")
        || path.iter().any(|part| part == "imagedb")
        || programs.iter().any(|program| path.ends_with(program))
        || endings.iter().any(|ending| path.to_string_lossy().ends_with(ending))
}

/// A command that runs with the environment of a login on the lab's machine and nothing of the host's.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let terminal = std::env::var("TERM").unwrap_or_else(|_| "xterm".into());
    command.env_clear().current_dir("/root").envs([
        ("PATH", PATH),
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("SHELL", "/bin/bash"),
        ("LANG", "C.UTF-8"),
        ("TERM", terminal.as_str()),
        ("LAYERLAB_LOG", "warn,layerlab_engine=debug"),
        ("LAYERLAB_LOG_FILE", ENGINE_LOG),
    ]);
    command
}

/// The data root of a kept lab, as the host reaches it.
pub fn data_root_from_outside(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root{DATA_ROOT}"))
}
