//! The side of an attached command: its own streams joined to a container's through the container's monitor.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::detach_keys::DetachKeys;
use super::error::failed;
use super::exec::on_window_change;
use super::lifecycle::Summoned;
use super::monitor::short_path;
use super::stream::Frame;
use super::{Engine, EngineError};
use crate::sys::terminal::{self, RawMode, Size};

/// Which of the caller's streams are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachStreams {
    /// Input reaches the container.
    pub stdin: bool,
    /// Output is shown.
    pub stdout: bool,
    /// Error output is shown.
    pub stderr: bool,
    /// The container has a terminal.
    pub tty: bool,
    /// Signals that would end this command go to the container instead (not with a terminal, whose keys do that).
    pub forwards_signals: bool,
    /// What is typed at a terminal to leave it.
    pub detach_keys: DetachKeys,
}

/// How it came that a command is attached no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    /// The container ended with this exit code.
    Ended(i64),
    /// Somebody typed the detach keys; the container goes on.
    Left,
}

impl Engine {
    /// Joins a container that runs, until it ends or is left.
    pub fn attach(&self, id: &str, streams: &AttachStreams) -> Result<Attached, EngineError> {
        let (container, _) = self.running(&self.container(id)?.id)?;
        let directory = self.run_directory(&container.id);
        let connected = File::open(&directory).and_then(|opened| UnixStream::connect(short_path(&opened)));
        let mut socket = connected.map_err(|_| EngineError::NotRunning(container.id.clone()))?;
        if let (true, Some(size)) = (streams.tty, terminal::size(io::stdin())) {
            // As Docker does: a size that changes makes a shell write its prompt again for the one who joins.
            let other = Size { rows: size.rows.saturating_add(1), columns: size.columns.saturating_add(1) };
            let told = Frame::Resize(other).write_to(&mut socket);
            told.map_err(failed("talk to the monitor in", &directory))?;
        }
        self.follow(&container.id, socket, streams)
    }

    /// [`Engine::run_attached`] for a container that was just made, by a monitor that waits for it.
    pub fn run_summoned(&self, id: &str, summoned: Summoned, streams: &AttachStreams) -> Result<Attached, EngineError> {
        match self.runs_already(id)? {
            false => match self.assign(id, summoned)? {
                Some(socket) => self.follow(id, socket, streams),
                None => self.run_attached(id, streams),
            },
            true => self.attach(id, streams),
        }
    }

    /// Starts a container with the caller attached from its first byte; one that runs already is joined as it is.
    pub fn run_attached(&self, id: &str, streams: &AttachStreams) -> Result<Attached, EngineError> {
        let id = self.container(id)?.id;
        while !self.runs_already(&id)? {
            let (socket, monitors) =
                UnixStream::pair().map_err(failed("open a socket for", &self.run_directory(&id)))?;
            if self.start_monitor(&id, Some(monitors))? {
                return self.follow(&id, socket, streams);
            }
        }
        self.attach(&id, streams)
    }

    fn follow(&self, id: &str, socket: UnixStream, streams: &AttachStreams) -> Result<Attached, EngineError> {
        let broken = |error| failed("talk to the monitor in", &self.run_directory(id))(error);
        let speaker = Arc::new(Mutex::new(socket.try_clone().map_err(broken)?));
        let raw = if streams.tty && streams.stdin && terminal::size(io::stdin()).is_some() {
            Some(RawMode::enter(io::stdin()).map_err(broken)?)
        } else {
            None
        };
        if streams.tty {
            let window = Arc::clone(&speaker);
            let tell = move || {
                if let Some(size) = terminal::size(io::stdin().as_fd()) {
                    say(&window, &Frame::Resize(size));
                }
            };
            tell();
            on_window_change(tell).map_err(broken)?;
        } else if streams.forwards_signals {
            self.forward_signals(id).map_err(broken)?;
        }
        let has_left = Arc::new(AtomicBool::new(false));
        if streams.stdin {
            let (keyboard, left) = (Arc::clone(&speaker), Arc::clone(&has_left));
            let keys = streams.tty.then(|| streams.detach_keys.clone());
            thread::spawn(move || send_input(&keyboard, keys, &left));
        }
        let code = show(socket, streams).map_err(broken)?;
        drop(raw);
        match code {
            Some(code) => Ok(Attached::Ended(code.into())),
            None if has_left.load(Ordering::Acquire) => Ok(Attached::Left),
            // The monitor was killed; what it could not write down is put right now.
            None => {
                self.recover()?;
                Ok(Attached::Ended(self.container(id)?.config.state.exit_code))
            }
        }
    }

    /// Sends the signals that would end this command to the container instead.
    fn forward_signals(&self, id: &str) -> io::Result<()> {
        let mut signals = SigSet::empty();
        [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2]
            .into_iter()
            .for_each(|signal| signals.add(signal));
        signals.thread_block()?;
        let (settings, id) = (self.settings.clone(), id.to_owned());
        thread::spawn(move || {
            while let Ok(signal) = signals.wait() {
                let sent =
                    Engine::open(settings.clone()).and_then(|engine| engine.kill(&id, &(signal as i32).to_string()));
                if let Err(error) = sent {
                    tracing::debug!(%error, "a signal came too late");
                }
            }
        });
        Ok(())
    }
}

fn say(speaker: &Mutex<UnixStream>, frame: &Frame) -> bool {
    frame.write_to(&mut *speaker.lock().unwrap_or_else(PoisonError::into_inner)).is_ok()
}

fn send_input(speaker: &Mutex<UnixStream>, mut keys: Option<DetachKeys>, has_left: &AtomicBool) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = io::stdin().read(&mut buffer) {
        let typed = buffer[..count].to_vec();
        let Some(passed) = keys.as_mut().map_or(Some(typed.clone()), |keys| keys.filter(&typed)) else {
            has_left.store(true, Ordering::Release);
            // Whoever reads this connection sees its end.
            let _ = speaker.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
            return;
        };
        if !passed.is_empty() && !say(speaker, &Frame::Stdin(passed)) {
            return;
        }
    }
    say(speaker, &Frame::StdinEnd);
}

/// Shows what the container says, until its end or its monitor's.
fn show(mut socket: UnixStream, streams: &AttachStreams) -> io::Result<Option<i32>> {
    while let Ok(Some(frame)) = Frame::read_from(&mut socket) {
        match frame {
            Frame::Stdout(bytes) if streams.stdout => {
                match io::stdout().write_all(&bytes).and_then(|()| io::stdout().flush()) {
                    // Whoever read along has seen enough; a program without a handler would end by SIGPIPE.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Some(128 + libc::SIGPIPE)),
                    written => written?,
                }
            }
            Frame::Stderr(bytes) if streams.stderr => io::stderr().write_all(&bytes)?,
            Frame::Exit(code) => return Ok(Some(code)),
            _ => {}
        }
    }
    Ok(None)
}
