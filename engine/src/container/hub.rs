//! Between a running container and the commands that are attached to it: input goes in, output goes to the log and to all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Container;
use super::log::{LogWriter, Stream};
use super::stream::Frame;
use crate::sys::random::SystemClock;
use crate::sys::terminal;

/// How long a client may stand still before it is looked whether it is still worth waiting for.
const CLIENT_PATIENCE: Duration = Duration::from_millis(500);

/// Everybody who listens to a container and may speak to it.
pub(super) struct Hub {
    clients: Mutex<Vec<UnixStream>>,
    stdin: Mutex<Option<File>>,
    terminal: Option<OwnedFd>,
    /// Input ends with the first command that is attached.
    stdin_once: bool,
    /// The container's first process has ended.
    pub(super) has_ended: AtomicBool,
}

impl Hub {
    /// Takes in whoever connects to `listener`, beginning with the command that started the container.
    pub(super) fn start(
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
    pub(super) fn send(&self, frame: &Frame) {
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
pub(super) fn pump(file: OwnedFd, stream: Stream, log: &Path, hub: Arc<Hub>) -> JoinHandle<()> {
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
