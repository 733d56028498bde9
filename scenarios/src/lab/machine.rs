//! The machine a page speaks to, seen from the runner inside the lab: a shell, the engine, and what lies on disk.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::sandbox::Inside;
use super::serve::{self, ServeError};
use crate::listing::listing_without_sizes;
use crate::page::{Arrangement, Mood};
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
    inside: Inside,
    registry: Option<RegistryHandle>,
}

impl LabMachine {
    /// A machine whose registry answers.
    pub fn new(
        name: &'static str,
        installation: Box<dyn Installation>,
        inside: Inside,
    ) -> Result<LabMachine, ServeError> {
        let registry = Some(serve::serve(Mood::Honest)?);
        // A machine that has been up for a day has a database for locate.
        if let Err(error) = command("/usr/bin/updatedb").status() {
            eprintln!("layerlab-lab: no database for locate: {error}");
        }
        Ok(LabMachine { name, installation, inside, registry })
    }

    /// Lets the registry answer for as long as the process lives.
    pub fn leave_registry(self) {
        std::mem::forget(self.registry);
    }

    fn fulfil(&mut self, arrangement: Arrangement) -> Result<(), ArrangeError> {
        match arrangement {
            Arrangement::InstallDocker => self.installation.install()?,
            Arrangement::StartDocker => self.installation.start(&self.inside)?,
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
        self.fulfil(arrangement).map_err(|error| error.to_string())
    }

    fn shell(&mut self) -> Result<Command, String> {
        let mut bash = command(BASH);
        bash.env("PS1", PROMPT);
        Ok(bash)
    }

    fn engine_log(&mut self) -> String {
        self.installation.engine_log()
    }

    fn data_root(&self) -> Option<PathBuf> {
        Some(DATA_ROOT.into())
    }

    fn tree(&mut self) -> Result<String, String> {
        let root = Path::new(DATA_ROOT);
        if !root.exists() {
            return Ok(String::new());
        }
        listing_without_sizes(root, &is_volatile).map_err(|error| format!("cannot list {DATA_ROOT}: {error}"))
    }
}

/// Files whose length differs from run to run, since they hold times, or from build to build: records of containers and
/// images, and the guest.
fn is_volatile(path: &Path) -> bool {
    path.starts_with("containers") || path.iter().any(|part| part == "imagedb") || path.ends_with("bin/layerlab-guest")
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
