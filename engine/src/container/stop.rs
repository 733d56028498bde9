//! Stopping containers: signals, and waiting until they have ended.
//!
//! As with dockerd, which holds a container's lock while it starts it, whoever has something to say to a container that another
//! command is starting waits until it runs. Nobody waits for what comes after its end, such as its removal (`--rm`).

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::config::State;
use super::error::failed;
use super::{Container, Engine, EngineError, signal};
use crate::sys::process::Process;

/// How long a container may take to stop before it is killed, unless somebody says otherwise.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// How often the record of a container is looked at that is to change.
const PAUSE: Duration = Duration::from_millis(10);

impl Engine {
    /// A container that runs, as it is once a start that another command is at is over, and its monitor.
    pub(super) fn running(&self, id: &str) -> Result<(Container, Process), EngineError> {
        let not_running = || EngineError::NotRunning(id.to_owned());
        let monitor = self.monitor_process(id)?.ok_or_else(not_running)?;
        let settled = self.once(id, &monitor, |state| state.running || state.removal_in_progress)?;
        let container = settled.filter(|container| container.config.state.running).ok_or_else(not_running)?;
        Ok((container, monitor))
    }

    /// Whether a container with a monitor runs: one that is starting will soon, of one that winds down the monitor will be
    /// gone.
    pub(super) fn runs_on(&self, id: &str, monitor: &Process) -> Result<bool, EngineError> {
        Ok(self.once(id, monitor, |state| state.running)?.is_some())
    }

    /// A container as soon as `is_so` of its state; nothing when its monitor is gone before.
    fn once(
        &self,
        id: &str,
        monitor: &Process,
        is_so: impl Fn(&State) -> bool,
    ) -> Result<Option<Container>, EngineError> {
        loop {
            match self.load(id) {
                Ok(container) if is_so(&container.config.state) => return Ok(Some(container)),
                Ok(_) | Err(EngineError::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
            if monitor.wait_for_end(Some(PAUSE)).map_err(failed("wait for", &self.run_directory(id)))? {
                return Ok(None);
            }
        }
    }

    /// Waits until a container has ended, and says its exit code.
    pub fn wait(&self, id: &str) -> Result<i64, EngineError> {
        let container = self.container(id)?;
        if let Some(monitor) = self.monitor_process(&container.id)? {
            self.ends_within(&container, &monitor, None)?;
        }
        self.recover()?;
        Ok(self.container(&container.id)?.config.state.exit_code)
    }

    /// Asks a container to stop, and kills it when it does not within `timeout` (10 seconds unless the container or the
    /// caller says otherwise). One that does not run stays as it is.
    pub fn stop(&self, id: &str, timeout: Option<Duration>) -> Result<(), EngineError> {
        let (container, monitor) = match self.running(&self.container(id)?.id) {
            Err(EngineError::NotRunning(_)) => return Ok(()),
            running => running?,
        };
        // What is stopped is not what keeps others from finding the namespace.
        self.let_others_in();
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
        if !self.ends_within(&container, &monitor, Some(limit))? {
            self.send(&container, libc::SIGKILL)?;
            self.ends_within(&container, &monitor, None)?;
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
        let (container, monitor) = self.running(&container.id)?;
        self.send(&container, number)?;
        if number == libc::SIGKILL {
            self.ends_within(&container, &monitor, None)?;
        }
        Ok(())
    }

    /// Kills a container, one that is only starting as soon as it has a process, and waits for its monitor.
    pub(super) fn end(&self, id: &str, monitor: &Process) -> Result<(), EngineError> {
        loop {
            match self.load(id) {
                Ok(container) => self.send(&container, libc::SIGKILL)?,
                Err(EngineError::NoSuchContainer(_)) => {}
                Err(error) => return Err(error),
            }
            if monitor.wait_for_end(Some(PAUSE)).map_err(failed("wait for", &self.run_directory(id)))? {
                return Ok(());
            }
        }
    }

    /// Waits until a container that runs has ended; false when `limit` passes first. Its monitor is gone then, unless it has to
    /// wait with the container's removal.
    fn ends_within(
        &self,
        container: &Container,
        monitor: &Process,
        limit: Option<Duration>,
    ) -> Result<bool, EngineError> {
        let directory = self.run_directory(&container.id);
        if !container.host.auto_remove {
            return monitor.wait_for_end(limit).map_err(failed("wait for", &directory));
        }
        let deadline = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = deadline.map_or(PAUSE, |deadline| deadline.saturating_duration_since(Instant::now()));
            let is_gone = monitor.wait_for_end(Some(left.min(PAUSE))).map_err(failed("wait for", &directory))?;
            let is_over = is_gone
                || match self.load(&container.id) {
                    Ok(container) => container.config.state.removal_in_progress,
                    Err(EngineError::NoSuchContainer(_)) => false,
                    Err(error) => return Err(error),
                };
            if is_over || left.is_zero() {
                return Ok(is_over);
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

    pub(super) fn monitor_process(&self, id: &str) -> Result<Option<Process>, EngineError> {
        let Some(pid) = self.monitor(id) else { return Ok(None) };
        // One that ends between the two lines has done its work.
        Ok(Process::open(Pid::from_raw(pid)).ok())
    }
}
