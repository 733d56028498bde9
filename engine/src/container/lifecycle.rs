//! Starting, stopping and removing containers, and further processes in them.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

use nix::unistd::Pid;

use super::error::failed;
use super::exec::{Streams, exec};
use super::launch::LaunchError;
use super::monitor::environment;
use super::program::Program;
use super::{Container, Engine, EngineError, processes, signal};
use crate::sys::process::{Process, spawn_detached};

/// How long a container may take to stop before it is killed, unless somebody says otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

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
        self.start_monitor(&self.container(id)?.id, None)
    }

    /// Starts the monitor of a container, with `client` as the first attached command, and waits until the container's
    /// program runs or could not be started.
    pub(super) fn start_monitor(&self, id: &str, client: Option<UnixStream>) -> Result<(), EngineError> {
        if let Some(monitor) = self.monitor_process(id)?
            && self.runs_on(id, &monitor)?
        {
            return Ok(());
        }
        let is_attached = client.is_some();
        let log = self.settings.exec_root.join("monitor.log");
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
        command.arg("monitor").arg(id).current_dir("/");
        command
            .stdin(client.map_or_else(Stdio::null, |client| OwnedFd::from(client).into()))
            .stdout(Stdio::piped())
            .stderr(log_file);
        let mut monitor = spawn_detached(&mut command).map_err(failed("start", &self.settings.program))?;
        // Holds the client's socket no longer than the monitor needs to get it.
        drop(command);
        let mut report = Vec::new();
        if let Some(mut stdout) = monitor.stdout.take() {
            let listen = |error| failed("listen to", &self.settings.program)(error);
            // It lives, and may have to wait for the container's layer: from now on others find the namespace by it.
            let mut first = [0];
            let count = stdout.read(&mut first).map_err(listen)?;
            if (count, first) == (1, *b"L") {
                drop(self.namespace.lock().unwrap_or_else(PoisonError::into_inner).take());
            } else {
                report.extend(&first[..count]);
            }
            stdout.read_to_end(&mut report).map_err(listen)?;
        }
        // Another command was the first to start it.
        if report.is_empty()
            && !is_attached
            && let Some(monitor) = self.monitor_process(id)?
            && self.runs_on(id, &monitor)?
        {
            return Ok(());
        }
        match report.as_slice() {
            [b'O', ..] => Ok(()),
            [b'E', a, b, c, d, text @ ..] => {
                let text = String::from_utf8_lossy(text).into_owned();
                Err(EngineError::Start { text, exit_code: i32::from_be_bytes([*a, *b, *c, *d]) })
            }
            _ => Err(EngineError::Start {
                text: format!("the monitor ended without a word; see {}", log.display()),
                exit_code: 125,
            }),
        }
    }

    /// Whether a container with a monitor runs: one that is starting will soon, of one that winds down the monitor will be
    /// gone.
    fn runs_on(&self, id: &str, monitor: &Process) -> Result<bool, EngineError> {
        let pause = Some(Duration::from_millis(10));
        loop {
            match self.load(id) {
                Ok(container) if container.config.state.running => return Ok(true),
                Ok(_) | Err(EngineError::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
            if monitor.wait_for_end(pause).map_err(failed("wait for", &self.run_directory(id)))? {
                return Ok(false);
            }
        }
    }

    /// Waits until a container has ended, and says its exit code.
    pub fn wait(&self, id: &str) -> Result<i64, EngineError> {
        let container = self.container(id)?;
        if let Some(monitor) = self.monitor_process(&container.id)? {
            monitor.wait_for_end(None).map_err(failed("wait for", &self.run_directory(&container.id)))?;
        }
        self.recover()?;
        Ok(self.container(&container.id)?.config.state.exit_code)
    }

    /// Asks a container to stop, and kills it when it does not within `timeout` (10 seconds unless the container or the
    /// caller says otherwise). One that does not run stays as it is.
    pub fn stop(&self, id: &str, timeout: Option<Duration>) -> Result<(), EngineError> {
        let container = self.container(id)?;
        let directory = self.run_directory(&container.id);
        let Some(monitor) = self.monitor_process(&container.id)? else { return Ok(()) };
        let config = &container.config.config;
        let own = config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let signal = if config.stop_signal.is_empty() { "SIGTERM" } else { &config.stop_signal };
        let number = signal::number(signal)?;
        self.update(&container.id, |container| container.config.has_been_manually_stopped = true)?;
        let limit = match signal::is_known(number) {
            true => timeout.or(own).unwrap_or(STOP_TIMEOUT),
            // There is no asking with a signal that does not exist.
            false => Duration::ZERO,
        };
        if signal::is_known(number) {
            self.send(&container, number)?;
        }
        if !monitor.wait_for_end(Some(limit)).map_err(failed("wait for", &directory))? {
            self.send(&container, libc::SIGKILL)?;
            monitor.wait_for_end(None).map_err(failed("wait for", &directory))?;
        }
        Ok(())
    }

    /// Sends a signal, by name or number (SIGKILL when it is empty), to a container's first process.
    pub fn kill(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        let number = if signal.is_empty() { libc::SIGKILL } else { signal::number(signal)? };
        let container = self.container(id)?;
        if !signal::is_known(number) {
            return Err(EngineError::UnknownSignal(number));
        }
        if !container.config.state.running {
            return Err(EngineError::NotRunning(container.id));
        }
        let monitor = self.monitor_process(&container.id)?;
        self.send(&container, number)?;
        if let (libc::SIGKILL, Some(monitor)) = (number, monitor) {
            monitor.wait_for_end(None).map_err(failed("wait for", &self.run_directory(&container.id)))?;
        }
        Ok(())
    }

    /// Kills a container, one that is only starting as soon as it has a process, and waits for its monitor.
    fn end(&self, id: &str, monitor: &Process) -> Result<(), EngineError> {
        let pause = Some(Duration::from_millis(20));
        loop {
            match self.load(id) {
                Ok(container) => self.send(&container, libc::SIGKILL)?,
                Err(EngineError::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
            if monitor.wait_for_end(pause).map_err(failed("wait for", &self.run_directory(id)))? {
                return Ok(());
            }
        }
    }

    fn send(&self, container: &Container, number: i32) -> Result<(), EngineError> {
        let directory = self.run_directory(&container.id);
        match Process::first_of_namespace(Pid::from_raw(container.config.state.pid)) {
            Some(process) => process.signal(number).map_err(failed("signal the container of", &directory)),
            // It has ended by itself meanwhile.
            None => Ok(()),
        }
    }

    fn monitor_process(&self, id: &str) -> Result<Option<Process>, EngineError> {
        let Some(pid) = self.monitor(id) else { return Ok(None) };
        // One that ends between the two lines has done its work.
        Ok(Process::open(Pid::from_raw(pid)).ok())
    }

    /// Removes a container, with `volumes` those of its volumes that nobody gave a name; one that runs only by force.
    pub fn remove_container(&self, id: &str, force: bool, volumes: bool) -> Result<(), EngineError> {
        let container = self.container(id)?;
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
                // With --rm the monitor has removed it already.
                Err(EngineError::NoSuchContainer(_)) => return Ok(()),
                held => break held?,
            }
        };
        let _lock = self.store.lock()?;
        match self.load(&container.id) {
            Ok(container) => self.forget(&container, volumes),
            Err(EngineError::NoSuchContainer(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Runs a further process in a container that runs, and says its exit code. To be called with one thread.
    pub fn exec(&self, id: &str, spec: &ExecSpec) -> Result<i64, EngineError> {
        let container = self.container(id)?;
        if !container.config.state.running {
            return Err(EngineError::NotRunning(container.id));
        }
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
