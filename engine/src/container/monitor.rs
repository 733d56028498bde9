//! The monitor: one small process per running container. It mounts, starts, listens, logs, waits and tidies up.
//!
//! *Why*: there is no daemon, and somebody must hold the log, the terminal, the published ports and the exit code after
//! the command that started the container is gone. *Holds*: the state on disk says "running" only while this process
//! lives; whoever sees its end (or the exit frame) finds the state written, and nothing mounted unless somebody was using the
//! mount just then (`layer_lock.rs`). *Never*: more than one thread before the container's first process exists.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::config::{PortBinding, PortMap, State};
use super::error::failed;
use super::exec::exit_code;
use super::hub::{Hub, pump};
use super::intent::{ID_BYTES, remove_directory};
use super::launch::{self, Launch, Launched, Network};
use super::layer_lock::HeldLayer;
use super::log::Stream;
use super::network::{Connection, listen_all};
use super::program::Program;
use super::publish::Published;
use super::records::become_monitor;
use super::rootfs::Restrictions;
use super::stream::Frame;
use super::{Container, Engine, EngineError, Settings, rootfs};
use crate::sys::process;

/// The name of the socket in a container's directory below the exec root.
pub(super) const SOCKET: &str = "attach.sock";

/// The monitor's main program. Its standard input is a socket of a first attached command, or `/dev/null`; when `id` is not said, the first that comes
/// of that command is the ID of the container. On its standard output it says `L` as soon as it is the container's monitor (`A` when another one is), and then how the start went:
/// `O`, or `E`, four bytes of exit code, and why.
pub fn main(settings: Settings, id: Option<String>) -> ExitCode {
    let mut report = Some(io::stdout());
    if let Err(error) = process::leave_session() {
        tracing::warn!(%error, "the container ends with the terminal that it was started from");
    }
    // The command that starts this one has put right what others left.
    let opened = Engine::open_as_is(settings, |driver| driver);
    let Some(id) = id.or_else(hear_of_container) else { return ExitCode::SUCCESS };
    let result = opened.and_then(|engine| engine.supervise(&id, &mut report));
    let Err(error) = result else { return ExitCode::SUCCESS };
    tracing::error!(id, %error, "monitor");
    if let Some(mut report) = report {
        let mut message = vec![b'E'];
        message.extend(error.exit_code().to_be_bytes());
        message.extend(error.to_string().as_bytes());
        // A caller that does not listen any more learns of the failure from the container's state.
        let _ = report.write_all(&message).and_then(|()| report.flush());
    }
    ExitCode::FAILURE
}

/// Waits to be told of a container; one that could not be made is none.
fn hear_of_container() -> Option<String> {
    let mut command = UnixStream::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let mut id = [0; ID_BYTES];
    command.read_exact(&mut id).ok()?;
    String::from_utf8(id.to_vec()).ok()
}

impl Engine {
    fn supervise(&self, id: &str, report: &mut Option<io::Stdout>) -> Result<(), EngineError> {
        let directory = self.run_directory(id);
        let Some(_place) = become_monitor(&directory)? else {
            say(report, b"A");
            return Ok(());
        };
        say(report, b"L");
        let watched = self.own_layer(id).and_then(|held| self.watch(held, &directory, report));
        let removed = remove_directory(&directory);
        watched.and(removed)
    }

    /// From the start of a container, whose layer is held until it runs, to its end. Whatever fails, nothing stays mounted
    /// and nothing runs.
    fn watch(&self, held: HeldLayer, directory: &Path, report: &mut Option<io::Stdout>) -> Result<(), EngineError> {
        let container = &self.with_files_named(&held.container)?;
        let id = &container.id;
        let (launched, listener, published, connection) = match self.start_container(container, directory) {
            Ok(started) => started,
            Err(error) => {
                self.note_failed_start(container, &error)?;
                return Err(error);
            }
        };
        let pid = launched.pid;
        let noted = self.note_state(id, |container| note_start(container, &launched, &published, self.clock.now()));
        let container = match noted {
            Ok(noted) => noted,
            Err(error) => {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                let _ = nix::sys::wait::waitpid(pid, None);
                self.note_failed_start(container, &error)?;
                return Err(error);
            }
        };
        drop(held);
        let hub = Hub::start(&container, launched.stdin, launched.terminal, listener);
        let log = PathBuf::from(&container.config.log_path);
        let pumps = [(Some(launched.stdout), Stream::Stdout), (launched.stderr, Stream::Stderr)];
        let pumps: Vec<_> =
            pumps.into_iter().filter_map(|(file, stream)| Some(pump(file?, stream, &log, Arc::clone(&hub)))).collect();
        connection.forward(published, pid);
        tracing::debug!(id, %pid, network = ?connection.network, "the container runs");
        say_started(report)?;

        let status = nix::sys::wait::waitpid(pid, None).map_err(|errno| failed("wait for", directory)(errno.into()))?;
        hub.has_ended.store(true, Ordering::Relaxed);
        for pump in pumps {
            let _ = pump.join();
        }
        let code = exit_code(status);
        tracing::debug!(id, code, "the container has ended");
        match self.note_end(&container, code)? {
            // Nobody who only reads keeps it from having ended.
            None if container.host.auto_remove => {
                hub.send(&Frame::Exit(code));
                return self.remove_ended(self.own_layer(id)?);
            }
            Some(held) if container.host.auto_remove => self.remove_ended(held)?,
            _ => {}
        }
        hub.send(&Frame::Exit(code));
        Ok(())
    }

    fn start_container(
        &self,
        container: &Container,
        directory: &Path,
    ) -> Result<(Launched, UnixListener, Vec<Published>, Connection), EngineError> {
        let connection = self.choose_network(container)?;
        let network = connection.network;
        let has_ports = matches!(network, Network::Own(_) | Network::Bridged(_));
        let published = if has_ports { listen_all(container)? } else { Vec::new() };
        let files = self.write_files(container, network)?;
        let binds = self.binds_and(container, files)?;
        let mount = self.store.layers.mount(&container.id)?;
        // What a monitor that was killed, or whose container ended while somebody used its mount, has left.
        self.driver.detach(&mount.mount_id)?;
        let rootfs = self.driver.attach(&mount.mount_id)?;
        let listener = listen(directory)?;
        let program = program_of(container);
        rootfs::make_working_directory(&rootfs, container)?;
        let launch = Launch {
            rootfs,
            hostname: container.config.config.hostname.clone(),
            network,
            binds,
            restrictions: Restrictions {
                masked: container.host.masked_paths.clone().unwrap_or_default(),
                read_only: container.host.readonly_paths.clone().unwrap_or_default(),
            },
            program,
            tty: container.config.config.tty,
            open_stdin: container.config.config.open_stdin,
        };
        let launched = launch::launch(&launch, |pid| connection.connect(&container.id, pid)).map_err(|error| EngineError::Start {
            text: match error.exit_code {
                126 | 127 => format!("failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: {error}: unknown"),
                _ => error.to_string(),
            },
            exit_code: error.exit_code,
        })?;
        Ok((launched, listener, published, connection))
    }

    fn note_failed_start(&self, container: &Container, error: &EngineError) -> Result<(), EngineError> {
        // dockerd's number for a start that failed before there was a program to blame.
        let exit_code = if error.exit_code() == 125 { 128 } else { error.exit_code() };
        self.leave_network(container)?;
        self.driver.detach(&self.store.layers.mount(&container.id)?.mount_id)?;
        if container.host.auto_remove {
            let _lock = self.store.lock()?;
            return self.forget(container, true);
        }
        self.note_state(&container.id, |container| {
            container.leave_network();
            let state = &mut container.config.state;
            *state = State { exit_code: exit_code.into(), error: error.to_string(), ..state.clone() };
        })?;
        Ok(())
    }

    /// Gives back the container's layer unless somebody uses it.
    fn note_end(&self, container: &Container, code: i32) -> Result<Option<HeldLayer>, EngineError> {
        let id = &container.id;
        self.leave_network(container)?;
        let mount = self.store.layers.mount(id)?;
        let held = self.own_layer_now(id)?;
        if held.is_some() {
            self.driver.detach(&mount.mount_id)?;
            if container.host.auto_remove {
                // It is removed right now.
                return Ok(held);
            }
        }
        let now = self.clock.now();
        self.note_state(id, |container| {
            container.end(code.into(), now.into());
            container.config.state.removal_in_progress = container.host.auto_remove;
        })?;
        Ok(held)
    }

    /// Removes a container that was to go with its end.
    fn remove_ended(&self, held: HeldLayer) -> Result<(), EngineError> {
        self.driver.detach(&self.store.layers.mount(&held.container.id)?.mount_id)?;
        let _lock = self.store.lock()?;
        self.forget(&held.container, true)
    }
}

/// Tells whoever waits for the start; one that went away meanwhile loses nothing.
fn say(report: &mut Option<io::Stdout>, word: &[u8]) {
    if let Some(report) = report {
        let _ = report.write_all(word).and_then(|()| report.flush());
    }
}

fn say_started(report: &mut Option<io::Stdout>) -> Result<(), EngineError> {
    say(report, b"O");
    if report.take().is_none() {
        return Ok(());
    }
    // The caller waits for the end of this stream.
    let silence = File::options().write(true).open("/dev/null");
    silence.and_then(|silence| Ok(rustix::stdio::dup2_stdout(silence)?)).map_err(failed("open", Path::new("/dev/null")))
}

fn note_start(container: &mut Container, launched: &Launched, published: &[Published], now: jiff::Timestamp) {
    let config = &mut container.config;
    config.state = State {
        running: true,
        pid: launched.pid.as_raw(),
        exit_code: 0,
        error: String::new(),
        started_at: now.into(),
        finished_at: config.state.finished_at,
        ..State::default()
    };
    config.has_been_started_before = true;
    config.has_been_manually_stopped = false;
    let mut ports: PortMap = config.config.exposed_ports.keys().map(|port| (port.clone(), None)).collect();
    for port in published {
        let binding =
            PortBinding { host_ip: port.outside.ip().to_string(), host_port: port.outside.port().to_string() };
        ports.entry(format!("{}/tcp", port.inside)).or_default().get_or_insert_default().push(binding);
    }
    config.network_settings.ports = Some(ports);
}

fn program_of(container: &Container) -> Program {
    let config = &container.config;
    Program {
        command: std::iter::once(&config.path).chain(&config.args).cloned().collect(),
        environment: environment(container),
        directory: config.config.working_dir.clone(),
        user: config.config.user.clone(),
    }
}

/// What dockerd puts into every environment, and the container's own over it.
pub(super) fn environment(container: &Container) -> Vec<String> {
    let config = &container.config.config;
    let mut environment = vec![
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        format!("HOSTNAME={}", config.hostname),
    ];
    if config.tty {
        environment.push("TERM=xterm".to_owned());
    }
    for entry in config.env.iter().flatten() {
        let name = entry.split('=').next();
        match environment.iter_mut().find(|other| other.split('=').next() == name) {
            Some(other) => other.clone_from(entry),
            None => environment.push(entry.clone()),
        }
    }
    environment
}

fn listen(directory: &Path) -> Result<UnixListener, EngineError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed("create", directory))?;
    // Of a monitor that was killed, when another engine has set the record right since; this one holds the lock on the directory.
    match fs::remove_file(directory.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("clear", directory)(error)),
        _ => {}
    }
    // By a short path: a socket's own must fit 108 bytes.
    let bound = File::open(directory).and_then(|opened| UnixListener::bind(short_path(&opened)));
    bound.map_err(failed("listen in", directory))
}

/// A path to the socket in an open directory that is short whatever the directory is called.
pub(super) fn short_path(directory: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_monitor_left_stands_in_nobodys_way() {
        let directory = tempfile::tempdir().unwrap();
        drop(listen(directory.path()).unwrap());
        assert!(directory.path().join(SOCKET).exists());
        listen(directory.path()).unwrap();
    }
}
