//! Starting and removing containers, and further processes in them.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::unistd::Pid;

use super::error::failed;
use super::exec::{Streams, exec};
use super::launch::LaunchError;
use super::monitor::environment;
use super::program::Program;
use super::{Container, Engine, EngineError, processes};
use crate::sys::process::{Process, spawn};

/// Exit codes of a program that is there but cannot run, and of one that is not there.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;
const NO_DIRECTORY: &str = ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host \
                            path exists and is the expected type";

/// A further process for a running container.
#[derive(Debug, Clone, Default)]
pub struct ExecSpec {
    /// Name or path, and arguments.
    pub command: Vec<String>,
    /// `NAME=value` each, over the container's own.
    pub env: Vec<String>,
    /// Its working directory; the container's when nothing is said.
    pub workdir: Option<String>,
    /// Its user; the container's when nothing is said.
    pub user: Option<String>,
    /// The caller's input reaches it.
    pub interactive: bool,
    /// It gets a terminal.
    pub tty: bool,
    /// It is left to itself once it runs.
    pub detach: bool,
}

impl Engine {
    /// Starts a container and leaves it to itself. One that runs already stays as it is.
    pub fn start(&self, id: &str) -> Result<(), EngineError> {
        let id = self.container(id)?.id;
        while !self.runs_already(&id)? {
            if self.start_monitor(&id, None)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether a container runs, when what another command is at with it is over: its start, or its end.
    pub(super) fn runs_already(&self, id: &str) -> Result<bool, EngineError> {
        let Some(monitor) = self.monitor_process(id)? else { return Ok(false) };
        self.let_others_in();
        self.runs_on(id, &monitor)
    }

    /// Starts a monitor that gets ready while its container is made, and waits to be told which one that is.
    pub fn summon_monitor(&self) -> Result<Summoned, EngineError> {
        let (told, monitors) = UnixStream::pair().map_err(failed("open a socket for", &self.settings.program))?;
        Ok(Summoned { monitor: self.begin_monitor(None, Some(monitors))?, told })
    }

    /// Has a monitor start its container, with the other end of its socket as the first attached command; nothing when another command was the first to start one.
    pub(super) fn assign(&self, id: &str, summoned: Summoned) -> Result<Option<UnixStream>, EngineError> {
        self.keep_others_out()?;
        let Summoned { monitor, mut told } = summoned;
        told.write_all(id.as_bytes()).map_err(failed("talk to", &self.settings.program))?;
        Ok(self.hear_of_start(monitor)?.then_some(told))
    }

    /// Starts the monitor of a container, with `client` as the first attached command, and waits until the container's
    /// program runs or could not be started. Says no when another command was the first to start one.
    pub(super) fn start_monitor(&self, id: &str, client: Option<UnixStream>) -> Result<bool, EngineError> {
        self.keep_others_out()?;
        self.hear_of_start(self.begin_monitor(Some(id), client)?)
    }

    fn begin_monitor(&self, id: Option<&str>, client: Option<UnixStream>) -> Result<Child, EngineError> {
        let log = self.monitor_log();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.settings.exec_root)
            .map_err(failed("create", &self.settings.exec_root))?;
        let log_file = File::options().append(true).create(true).open(&log).map_err(failed("open", &log))?;
        let mut command = Command::new(&self.settings.program);
        command.arg("--data-root").arg(&self.settings.data_root).arg("--exec-root").arg(&self.settings.exec_root);
        if let Some(driver) = &self.settings.storage_driver {
            command.arg("--storage-driver").arg(driver);
        }
        command.arg("monitor").args(id).current_dir("/");
        command
            .stdin(client.map_or_else(Stdio::null, |client| OwnedFd::from(client).into()))
            .stdout(Stdio::piped())
            .stderr(log_file);
        // The command holds the client's socket, no longer than the monitor needs to get it.
        spawn(&mut command).map_err(failed("start", &self.settings.program))
    }

    /// What monitors have to say that nobody listens to.
    fn monitor_log(&self) -> PathBuf {
        self.settings.exec_root.join("monitor.log")
    }

    /// Waits until the container of a monitor runs, or could not be started; says no when that is not its monitor.
    fn hear_of_start(&self, mut monitor: Child) -> Result<bool, EngineError> {
        let mut report = Vec::new();
        if let Some(mut stdout) = monitor.stdout.take() {
            let listen = |error| failed("listen to", &self.settings.program)(error);
            // It lives, and may have to wait for the container's layer: from now on others find the namespace by it.
            let mut first = [0];
            let count = stdout.read(&mut first).map_err(listen)?;
            if (count, first) == (1, *b"L") {
                self.let_others_in();
            } else {
                report.extend(&first[..count]);
            }
            stdout.read_to_end(&mut report).map_err(listen)?;
        }
        match report.as_slice() {
            [b'O', ..] => Ok(true),
            [b'A'] => Ok(false),
            [b'E', a, b, c, d, text @ ..] => {
                let text = String::from_utf8_lossy(text).into_owned();
                Err(EngineError::Start { text, exit_code: i32::from_be_bytes([*a, *b, *c, *d]) })
            }
            _ => Err(EngineError::Start {
                text: format!("the monitor ended without a word; see {}", self.monitor_log().display()),
                exit_code: 125,
            }),
        }
    }

    /// Removes a container, with `volumes` those of its volumes that nobody gave a name; one that runs only by force.
    pub fn remove_container(&self, id: &str, force: bool, volumes: bool) -> Result<(), EngineError> {
        let container = self.container(id)?;
        // With --rm the monitor may have removed it already; otherwise another command has.
        let gone = || match container.host.auto_remove {
            true => Ok(()),
            false => Err(EngineError::NoSuchContainer(id.to_owned())),
        };
        let _held = loop {
            if let Some(monitor) = self.monitor_process(&container.id)? {
                if force {
                    self.end(&container.id, &monitor)?;
                } else if self.runs_on(&container.id, &monitor)? {
                    return Err(EngineError::RemoveRunning(container.id));
                }
            }
            match self.own_layer(&container.id) {
                // Somebody has started it meanwhile.
                Ok(held) if held.container.config.state.running && self.monitor(&container.id).is_some() => {}
                Err(EngineError::NoSuchContainer(_)) => return gone(),
                held => break held?,
            }
        };
        let _lock = self.store.lock()?;
        match self.load(&container.id) {
            Ok(container) => self.forget(&container, volumes),
            Err(EngineError::NoSuchContainer(_)) => gone(),
            Err(error) => Err(error),
        }
    }

    /// Runs a further process in a container that runs, and says its exit code. To be called with one thread.
    pub fn exec(&self, id: &str, spec: &ExecSpec) -> Result<i64, EngineError> {
        let (container, _) = self.running(&self.container(id)?.id)?;
        if spec.workdir.as_ref().is_some_and(|directory| !directory.is_empty() && !directory.starts_with('/')) {
            let text = "OCI runtime exec failed: exec failed: Cwd must be an absolute path: unknown".to_owned();
            return Err(EngineError::Start { text, exit_code: NOT_EXECUTABLE });
        }
        let mut env = environment(&container);
        if spec.tty && !env.iter().any(|entry| entry.starts_with("TERM=")) {
            env.push("TERM=xterm".to_owned());
        }
        for entry in &spec.env {
            env.retain(|other| other.split('=').next() != entry.split('=').next());
            env.push(entry.clone());
        }
        let own = &container.config.config;
        let program = Program {
            command: spec.command.clone(),
            environment: env,
            directory: spec.workdir.clone().unwrap_or_else(|| own.working_dir.clone()),
            user: spec.user.clone().unwrap_or_else(|| own.user.clone()),
        };
        let streams = Streams {
            interactive: spec.interactive && !spec.detach,
            tty: spec.tty && !spec.detach,
            detached: spec.detach,
        };
        let code = exec(Pid::from_raw(container.config.state.pid), &program, streams);
        Ok(code.map_err(exec_failed)?.into())
    }

    /// Stops all processes of a container until the value is dropped.
    pub(super) fn pause(&self, container: &Container) -> Result<Paused, EngineError> {
        let mut paused = Paused { processes: Vec::new() };
        for directory in processes::directories(container)? {
            let pid = directory.file_name().and_then(|name| name.to_str()?.parse().ok()).map(Pid::from_raw);
            if let Some(Ok(process)) = pid.map(Process::open) {
                process.signal(libc::SIGSTOP).map_err(failed("pause", &directory))?;
                paused.processes.push(process);
            }
        }
        Ok(paused)
    }
}

/// A monitor that has no container yet.
pub struct Summoned {
    monitor: Child,
    told: UnixStream,
}

impl Summoned {
    /// There is no container for it: ends it, and waits for that.
    pub fn dismiss(mut self) {
        drop(self.told);
        if let Err(error) = self.monitor.wait() {
            tracing::warn!(%error, "a monitor without a container is not waited for");
        }
    }
}

/// dockerd's words around those of runc, with its advice about what is no directory.
fn exec_failed(error: LaunchError) -> EngineError {
    let text = match error.exit_code {
        NOT_EXECUTABLE | NOT_FOUND => {
            let advice = if error.text.contains("not a directory") { NO_DIRECTORY } else { "" };
            format!("OCI runtime exec failed: exec failed: unable to start container process: {error}: unknown{advice}")
        }
        _ => error.text,
    };
    EngineError::Start { text, exit_code: error.exit_code }
}

/// Processes that stand still while this value lives.
pub(super) struct Paused {
    processes: Vec<Process>,
}

impl Drop for Paused {
    fn drop(&mut self) {
        for process in &self.processes {
            if let Err(error) = process.signal(libc::SIGCONT) {
                tracing::error!(%error, "a paused process could not be continued");
            }
        }
    }
}
