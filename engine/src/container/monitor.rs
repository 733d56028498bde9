//! The monitor: one small process per running container. It mounts, starts, listens, logs, waits and tidies up.
//!
//! *Why*: there is no daemon, and somebody must hold the log, the terminal, the published ports and the exit code after
//! the command that started the container is gone. *Holds*: the state on disk says "running" only while this process
//! lives; whoever sees its end (or the exit frame) finds the state written and nothing mounted. *Never*: more than one
//! thread before the container's first process exists.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::config::{PortBinding, PortMap, State};
use super::error::failed;
use super::exec::exit_code;
use super::intent::remove_directory;
use super::launch::{self, Launch, Launched, Network};
use super::log::{LogWriter, Stream};
use super::program::Program;
use super::publish::{self, Published};
use super::records::become_monitor;
use super::rootfs::Restrictions;
use super::stream::Frame;
use super::{Container, Engine, EngineError, Settings, create::network_name, rootfs};
use crate::sys::random::SystemClock;
use crate::sys::terminal;

/// How long a client may stand still before it is looked whether it is still worth waiting for.
const CLIENT_PATIENCE: Duration = Duration::from_millis(500);

/// The name of the socket in a container's directory below the exec root.
pub(super) const SOCKET: &str = "attach.sock";

/// The monitor's main program. Its standard input is a socket of a first attached command, or `/dev/null`; on its
/// standard output it says how the start went: `O`, or `E`, four bytes of exit code, and why.
pub fn main(settings: Settings, id: &str) -> ExitCode {
    let mut report = Some(io::stdout());
    let result = Engine::open(settings).and_then(|engine| engine.supervise(id, &mut report));
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

impl Engine {
    fn supervise(&self, id: &str, report: &mut Option<io::Stdout>) -> Result<(), EngineError> {
        let directory = self.run_directory(id);
        let Some(_place) = become_monitor(&directory)? else { return Ok(()) };
        let watched = self.load(id).and_then(|container| self.watch(&container, &directory, report));
        let removed = remove_directory(&directory);
        watched.and(removed)
    }

    /// From the start of a container to its end. Whatever fails, nothing stays mounted and nothing runs.
    fn watch(
        &self,
        container: &Container,
        directory: &Path,
        report: &mut Option<io::Stdout>,
    ) -> Result<(), EngineError> {
        let id = &container.id;
        let (launched, listener, published, address) = match self.start_container(container, directory) {
            Ok(started) => started,
            Err(error) => {
                self.note_failed_start(container, &error)?;
                return Err(error);
            }
        };
        let pid = launched.pid;
        let noted = self.update(id, |container| note_start(container, &launched, &published, self.clock.now()));
        let container = match noted {
            Ok(container) => container,
            Err(error) => {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
                let _ = nix::sys::wait::waitpid(pid, None);
                self.note_failed_start(container, &error)?;
                return Err(error);
            }
        };
        let hub = Hub::start(&container, launched.stdin, launched.terminal, listener);
        let log = PathBuf::from(&container.config.log_path);
        let pumps = [(Some(launched.stdout), Stream::Stdout), (launched.stderr, Stream::Stderr)];
        let pumps: Vec<_> =
            pumps.into_iter().filter_map(|(file, stream)| Some(pump(file?, stream, &log, Arc::clone(&hub)))).collect();
        publish::forward(published, pid, address);
        tracing::debug!(id, %pid, %address, "the container runs");
        say_started(report)?;

        let status = nix::sys::wait::waitpid(pid, None).map_err(|errno| failed("wait for", directory)(errno.into()))?;
        hub.has_ended.store(true, Ordering::Relaxed);
        for pump in pumps {
            let _ = pump.join();
        }
        let code = exit_code(status);
        tracing::debug!(id, code, "the container has ended");
        self.note_end(&container, code)?;
        hub.send(&Frame::Exit(code));
        Ok(())
    }

    fn start_container(
        &self,
        container: &Container,
        directory: &Path,
    ) -> Result<(Launched, UnixListener, Vec<Published>, Ipv4Addr), EngineError> {
        let address = self.take_address(&container.id)?;
        let network = match network_name(&container.host.network_mode)? {
            "host" => Network::Host,
            "none" => Network::None,
            _ => Network::Own(address),
        };
        let published = if matches!(network, Network::Own(_)) { listen_all(container)? } else { Vec::new() };
        let files = self.write_files(container, network)?;
        let mount = self.store.layers.mount(&container.id)?;
        let rootfs = self.driver.attach(&mount.mount_id)?;
        let listener = listen(directory)?;
        let program = program_of(container);
        rootfs::make_working_directory(&rootfs, container)?;
        let launch = Launch {
            rootfs,
            hostname: container.config.config.hostname.clone(),
            network,
            files,
            restrictions: Restrictions {
                masked: container.host.masked_paths.clone().unwrap_or_default(),
                read_only: container.host.readonly_paths.clone().unwrap_or_default(),
            },
            program,
            tty: container.config.config.tty,
            open_stdin: container.config.config.open_stdin,
        };
        let launched = launch::launch(&launch).map_err(|error| EngineError::Start {
            text: match error.exit_code {
                126 | 127 => format!("failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: {error}: unknown"),
                _ => error.to_string(),
            },
            exit_code: error.exit_code,
        })?;
        Ok((launched, listener, published, address))
    }

    /// Gives the container the first address of Docker's default network that no other has.
    fn take_address(&self, id: &str) -> Result<Ipv4Addr, EngineError> {
        let _lock = self.store.lock()?;
        let networks = self
            .containers()?
            .into_iter()
            .flat_map(|container| container.config.network_settings.networks.into_values());
        let taken: HashSet<String> = networks.map(|network| network.ip_address).collect();
        let mut all = (2..u16::MAX).map(|host| Ipv4Addr::from(0xac11_0000 | u32::from(host)));
        let address = all.find(|address| !taken.contains(&address.to_string()));
        let address = address.ok_or_else(|| EngineError::Start {
            text: "no available IPv4 addresses on this network's address pools: bridge".to_owned(),
            exit_code: 125,
        })?;
        self.update(id, |container| {
            if let Some(bridge) = container.config.network_settings.networks.get_mut("bridge") {
                bridge.ip_address = address.to_string();
                bridge.ip_prefix_len = 16;
            }
        })?;
        Ok(address)
    }

    /// Writes the files that are bound over the image's own, and says where they go.
    fn write_files(&self, container: &Container, network: Network) -> Result<Vec<(PathBuf, String)>, EngineError> {
        let name = &container.config.config.hostname;
        let mut hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\n\
                         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
            .to_owned();
        if let Network::Own(address) = network {
            hosts.push_str(&format!("{address}\t{name}\n"));
        }
        let resolv = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let hash = crate::image::Digest::of(resolv.as_bytes()).to_string();
        let directory = self.record_directory(&container.id);
        for (file, text) in
            [("hosts", hosts), ("hostname", format!("{name}\n")), ("resolv.conf", resolv), ("resolv.conf.hash", hash)]
        {
            // Written in place: the files are bind-mounted, and a new file under the name would not be seen.
            let path = directory.join(file);
            fs::write(&path, text).map_err(failed("write", &path))?;
        }
        let bound = ["resolv.conf", "hostname", "hosts"];
        Ok(bound.map(|file| (directory.join(file), format!("/etc/{file}"))).to_vec())
    }

    fn note_failed_start(&self, container: &Container, error: &EngineError) -> Result<(), EngineError> {
        // dockerd's number for a start that failed before there was a program to blame.
        let exit_code = if error.exit_code() == 125 { 128 } else { error.exit_code() };
        self.driver.detach(&self.store.layers.mount(&container.id)?.mount_id)?;
        if container.host.auto_remove {
            let _lock = self.store.lock()?;
            return self.forget(container);
        }
        self.update(&container.id, |container| {
            container.leave_network();
            let state = &mut container.config.state;
            *state = State { exit_code: exit_code.into(), error: error.to_string(), ..state.clone() };
        })?;
        Ok(())
    }

    fn note_end(&self, container: &Container, code: i32) -> Result<(), EngineError> {
        self.driver.detach(&self.store.layers.mount(&container.id)?.mount_id)?;
        if container.host.auto_remove {
            let _lock = self.store.lock()?;
            return self.forget(container);
        }
        let now = self.clock.now();
        self.update(&container.id, |container| container.end(code.into(), now.into()))?;
        Ok(())
    }
}

fn say_started(report: &mut Option<io::Stdout>) -> Result<(), EngineError> {
    let Some(mut report) = report.take() else { return Ok(()) };
    // A caller that went away meanwhile loses nothing: the container runs.
    let _ = report.write_all(b"O").and_then(|()| report.flush());
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

/// Listens on every port the container publishes.
fn listen_all(container: &Container) -> Result<Vec<Published>, EngineError> {
    let mut published = Vec::new();
    for (port, bindings) in &container.host.port_bindings {
        let refused = |why: String| EngineError::Start {
            text: format!(
                "driver failed programming external connectivity on endpoint {} ({}): {why}",
                container.config.plain_name(),
                container.id
            ),
            exit_code: 125,
        };
        let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
        let inside = number.parse().map_err(|_| refused(format!("invalid port {port}")))?;
        if protocol != "tcp" {
            return Err(refused(format!("{protocol} cannot be published: only tcp is")));
        }
        for binding in bindings.iter().flatten() {
            let address = if binding.host_ip.is_empty() { None } else { binding.host_ip.parse().ok() };
            let outside = if binding.host_port.is_empty() {
                0
            } else {
                binding.host_port.parse().map_err(|_| refused(format!("invalid port {}", binding.host_port)))?
            };
            let listened = publish::listen_on(address, outside, inside).map_err(|error| match error.kind() {
                io::ErrorKind::AddrInUse => {
                    let shown = if binding.host_ip.is_empty() { "0.0.0.0" } else { &binding.host_ip };
                    refused(format!("Bind for {shown}:{outside} failed: port is already allocated"))
                }
                _ => refused(format!("listen on {}:{outside}: {error}", binding.host_ip)),
            })?;
            published.extend(listened);
        }
    }
    Ok(published)
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
    // By a short path: a socket's own must fit 108 bytes.
    let bound = File::open(directory).and_then(|opened| UnixListener::bind(short_path(&opened)));
    bound.map_err(failed("listen in", directory))
}

/// A path to the socket in an open directory that is short whatever the directory is called.
pub(super) fn short_path(directory: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

/// Everybody who listens to a container and may speak to it.
struct Hub {
    clients: Mutex<Vec<UnixStream>>,
    stdin: Mutex<Option<File>>,
    terminal: Option<OwnedFd>,
    /// Input ends with the first command that is attached.
    stdin_once: bool,
    /// The container's first process has ended.
    has_ended: AtomicBool,
}

impl Hub {
    fn start(
        container: &Container,
        stdin: Option<OwnedFd>,
        terminal: Option<OwnedFd>,
        listener: UnixListener,
    ) -> Arc<Hub> {
        let hub = Arc::new(Hub {
            clients: Mutex::default(),
            stdin: Mutex::new(stdin.map(File::from)),
            terminal,
            stdin_once: container.config.config.stdin_once,
            has_ended: AtomicBool::new(false),
        });
        if let Some(first) = first_client() {
            hub.admit(first);
        }
        let guests = Arc::clone(&hub);
        thread::spawn(move || listener.incoming().flatten().for_each(|client| guests.admit(client)));
        hub
    }

    /// Lets a command listen, and hears what it says on a thread of its own.
    fn admit(self: &Arc<Hub>, client: UnixStream) {
        let Ok(speaking) = client.try_clone() else { return };
        if client.set_write_timeout(Some(CLIENT_PATIENCE)).is_err() {
            return;
        }
        held(&self.clients).push(client);
        let hub = Arc::clone(self);
        thread::spawn(move || hub.hear(speaking));
    }

    fn hear(&self, mut client: UnixStream) {
        let mut has_typed = false;
        while let Ok(Some(frame)) = Frame::read_from(&mut client) {
            match frame {
                Frame::Stdin(bytes) => {
                    has_typed = true;
                    if let Some(stdin) = held(&self.stdin).as_mut() {
                        // A program that has closed its input is not to be told more.
                        let _ = stdin.write_all(&bytes);
                    }
                }
                Frame::StdinEnd => self.end_input(),
                Frame::Resize(size) => {
                    if let Some(terminal) = &self.terminal {
                        let _ = terminal::set_size(terminal.as_fd(), size);
                    }
                }
                _ => {}
            }
        }
        // Somebody who only listened takes nothing along.
        if has_typed {
            self.end_input();
        }
    }

    fn end_input(&self) {
        if self.stdin_once && self.terminal.is_none() {
            drop(held(&self.stdin).take());
        }
    }

    /// Says something to all who listen; those who are gone are forgotten. A command that stands still holds the output up
    /// while the container runs, as a full pipe would, but not its end.
    fn send(&self, frame: &Frame) {
        let mut message = Vec::new();
        if frame.write_to(&mut message).is_ok() {
            held(&self.clients).retain_mut(|client| self.deliver(client, &message));
        }
    }

    fn deliver(&self, client: &mut UnixStream, mut message: &[u8]) -> bool {
        while !message.is_empty() {
            match client.write(message) {
                Ok(count @ 1..) => message = &message[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.has_ended.load(Ordering::Relaxed) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return false,
            }
        }
        true
    }
}

/// The command that started the container, when it stays attached: it gave its socket as standard input.
fn first_client() -> Option<UnixStream> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().ok()?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&stdin).ok()?.st_mode);
    (kind == rustix::fs::FileType::Socket).then(|| UnixStream::from(stdin))
}

/// Carries one stream of output to the log and to all who listen, until its last writer is gone.
fn pump(file: OwnedFd, stream: Stream, log: &Path, hub: Arc<Hub>) -> JoinHandle<()> {
    let mut log =
        LogWriter::open(log, stream).inspect_err(|error| tracing::error!(%error, "the log cannot be opened")).ok();
    thread::spawn(move || {
        let mut file = File::from(file);
        let mut buffer = [0; 16 * 1024];
        // A terminal whose last process is gone reads as an error.
        while let Ok(count @ 1..) = file.read(&mut buffer) {
            let bytes = buffer[..count].to_vec();
            if let Some(Err(error)) = log.as_mut().map(|log| log.write(&bytes, &SystemClock)) {
                tracing::error!(%error, "the log cannot be written");
            }
            hub.send(&match stream {
                Stream::Stdout => Frame::Stdout(bytes),
                Stream::Stderr => Frame::Stderr(bytes),
            });
        }
        if let Some(Err(error)) = log.as_mut().map(|log| log.finish(&SystemClock)) {
            tracing::error!(%error, "the log cannot be written");
        }
    })
}

/// A mutex whose holder panicked still has the last complete value.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
