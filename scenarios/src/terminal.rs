//! A pseudo-terminal with a shell in it: types like a person and sees what a person would see.
//!
//! *Why*: progress bars, wrapped lines and prompts only mean something on a screen; here bytes go through a terminal emulator.
//! *Holds*: nothing sleeps; every wait reads until the screen shows what was waited for, the shell ends, or the time is over.
//! A line longer than the screen is wide is one line again when it is read.
//! *Never*: leave the shell behind; dropping the terminal hangs up and waits for it.
//! *Proved by*: `scenarios/tests/replay.rs`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Wide enough for `ls` to list a data root on one line.
const COLUMNS: u16 = 120;
const ROWS: u16 = 50;
/// Lines one step may print before the first of them are lost.
const SCROLLBACK: usize = 20_000;
/// Between two control keys that are pressed.
const BETWEEN_KEYS: Duration = Duration::from_millis(30);

/// A shell in a terminal.
pub struct Terminal {
    /// `None` only while dropping: closing it hangs up.
    master: Option<File>,
    shell: Child,
    emulator: vt100::Parser<Signals>,
}

/// What went wrong while waiting.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// No pseudo-terminal, or the shell did not start.
    #[error("cannot start a shell in a terminal: {0}")]
    Open(#[source] io::Error),
    /// The terminal cannot be read or written.
    #[error("the terminal broke: {0}")]
    Broken(#[source] io::Error),
    /// What was waited for did not show in time.
    #[error("it was not there in time")]
    TimedOut,
    /// The shell is gone.
    #[error("the shell ended")]
    Ended,
}

/// The OSC 133 mark a shell puts before its prompt: the command before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Exit code of that command.
    pub exit: i32,
    /// Where the prompt begins.
    pub at: Position,
}

/// A place on the screen and what has scrolled off it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Rows since [`Terminal::forget`], from 0.
    pub row: usize,
    /// Columns, from 0.
    pub column: u16,
}

/// What the shell says to the terminal rather than to the reader.
#[derive(Default)]
struct Signals {
    mark: Option<Mark>,
    replies: Vec<u8>,
}

impl vt100::Callbacks for Signals {
    fn unhandled_osc(&mut self, screen: &mut vt100::Screen, params: &[&[u8]]) {
        if let [b"133", b"D", rest @ ..] = params {
            let exit = rest.first().and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.parse().ok());
            self.mark = Some(Mark { exit: exit.unwrap_or(0), at: cursor(screen) });
        }
    }

    /// Line editors ask where the cursor is and what they run on, and wait for the answer.
    fn unhandled_csi(
        &mut self,
        screen: &mut vt100::Screen,
        first: Option<u8>,
        _: Option<u8>,
        params: &[&[u16]],
        c: char,
    ) {
        match (first, c, params) {
            (None, 'n', [[6]]) => {
                let (row, column) = screen.cursor_position();
                self.replies.extend(format!("\x1b[{};{}R", row + 1, column.min(COLUMNS - 1) + 1).into_bytes());
            }
            (None, 'n', [[5]]) => self.replies.extend(b"\x1b[0n"),
            (None, 'c', _) => self.replies.extend(b"\x1b[?1;2c"),
            _ => {}
        }
    }
}

impl Terminal {
    /// Starts `command` as the leader of a session of its own on a new terminal; its `TERM` is xterm's unless it sets one.
    pub fn open(mut command: Command) -> Result<Terminal, TerminalError> {
        let (master, slave) = pair().map_err(|error| TerminalError::Open(error.into()))?;
        let clone = || slave.try_clone().map(Stdio::from);
        let shell = (|| {
            command.stdin(clone()?).stdout(clone()?).stderr(clone()?);
            if !command.get_envs().any(|(name, _)| name == "TERM") {
                command.env("TERM", "xterm-256color");
            }
            lead_session(&mut command);
            command.spawn()
        })();
        let shell = shell.map_err(TerminalError::Open)?;
        let emulator = vt100::Parser::new_with_callbacks(ROWS, COLUMNS, SCROLLBACK, Signals::default());
        Ok(Terminal { master: Some(File::from(master)), shell, emulator })
    }

    /// Keeps only what is on the screen now, so that rows count from its top, and drops the last mark.
    pub fn forget(&mut self) {
        let now = self.emulator.screen().state_formatted();
        self.emulator = vt100::Parser::new_with_callbacks(ROWS, COLUMNS, SCROLLBACK, Signals::default());
        self.emulator.process(&now);
    }

    /// Types `text`.
    pub fn type_text(&mut self, text: &str) -> Result<(), TerminalError> {
        self.write(text.as_bytes())
    }

    /// Presses Enter; a mark counts only from here on.
    pub fn press_enter(&mut self) -> Result<(), TerminalError> {
        self.emulator.callbacks_mut().mark = None;
        self.write(b"\r")
    }

    /// Presses keys that no echo answers; a mark counts only from here on. Control keys come one by one, as from a hand:
    /// podman knows its detach keys only when it reads each alone.
    pub fn press(&mut self, keys: &str) -> Result<(), TerminalError> {
        self.emulator.callbacks_mut().mark = None;
        for run in keys.split_inclusive(|key: char| key.is_control()) {
            self.write(run.as_bytes())?;
            thread::sleep(BETWEEN_KEYS);
        }
        Ok(())
    }

    /// Whether a program has taken the whole screen, as editors do, and will give it back.
    pub fn is_taken(&self) -> bool {
        self.emulator.screen().alternate_screen()
    }

    /// Reads until `ready` finds what it waits for.
    pub fn wait<T>(
        &mut self,
        deadline: Instant,
        mut ready: impl FnMut(&mut Terminal) -> Option<T>,
    ) -> Result<T, TerminalError> {
        loop {
            if let Some(found) = ready(self) {
                return Ok(found);
            }
            self.read(deadline)?;
        }
    }

    /// The last mark since Enter was pressed.
    pub fn mark(&self) -> Option<Mark> {
        self.emulator.callbacks().mark
    }

    /// Where the cursor is.
    pub fn cursor(&mut self) -> Position {
        cursor(self.emulator.screen_mut())
    }

    /// The line the cursor is on, from its beginning (on an earlier row if it wrapped) to the cursor.
    pub fn line_to_cursor(&self) -> String {
        let screen = self.emulator.screen();
        let (row, column) = screen.cursor_position();
        let mut first = row;
        while first > 0 && screen.row_wrapped(first - 1) {
            first -= 1;
        }
        screen.contents_between(first, 0, row, column)
    }

    /// Whether so much was printed since [`Terminal::forget`] that the beginning is lost.
    pub fn has_overflowed(&mut self) -> bool {
        scrolled(self.emulator.screen_mut()) >= SCROLLBACK
    }

    /// The lines from the start of row `from` up to `to`, blanks at their ends removed; wrapped rows are joined.
    pub fn lines(&mut self, from: usize, to: Position) -> Vec<String> {
        let mut lines = vec![String::new()];
        for (row, (mut text, wrapped)) in
            self.rows().into_iter().enumerate().skip(from).take_while(|(row, _)| *row <= to.row)
        {
            if row == to.row {
                text = text.chars().take(usize::from(to.column)).collect();
            }
            if let Some(line) = lines.last_mut() {
                line.push_str(&text);
            }
            if !wrapped && row < to.row {
                lines.push(String::new());
            }
        }
        if lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        lines.iter().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Every row with whether its line goes on in the next one.
    fn rows(&mut self) -> Vec<(String, bool)> {
        let screen = self.emulator.screen_mut();
        let scrolled = scrolled(screen);
        let total = scrolled + usize::from(ROWS);
        let mut rows = Vec::with_capacity(total);
        while rows.len() < total {
            let offset = scrolled.saturating_sub(rows.len());
            screen.set_scrollback(offset);
            let skip = rows.len() - (scrolled - offset);
            let view: Vec<String> = screen.rows(0, COLUMNS).skip(skip).collect();
            rows.extend(
                (skip..).zip(view).map(|(row, text)| (text, screen.row_wrapped(u16::try_from(row).unwrap_or(0)))),
            );
        }
        screen.set_scrollback(0);
        rows
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TerminalError> {
        match &mut self.master {
            Some(master) => master.write_all(bytes).map_err(TerminalError::Broken),
            None => Err(TerminalError::Ended),
        }
    }

    /// Reads once, waiting for it until `deadline`.
    fn read(&mut self, deadline: Instant) -> Result<(), TerminalError> {
        let Some(master) = &mut self.master else { return Err(TerminalError::Ended) };
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let timeout = Timespec::try_from(left).ok();
        let mut waiting = [PollFd::new(master, PollFlags::IN)];
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(0) if Instant::now() >= deadline => return Err(TerminalError::TimedOut),
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(TerminalError::Broken(error.into())),
        }
        let mut bytes = [0; 16 * 1024];
        match master.read(&mut bytes) {
            // Linux says EIO once the last process has closed its side.
            Ok(0) => return Err(TerminalError::Ended),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                return Err(TerminalError::Ended);
            }
            Err(error) => return Err(TerminalError::Broken(error)),
            Ok(count) => self.emulator.process(&bytes[..count]),
        }
        let replies = std::mem::take(&mut self.emulator.callbacks_mut().replies);
        if replies.is_empty() { Ok(()) } else { self.write(&replies) }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.master = None;
        // A shell that survives the hang-up has nothing left to do; errors mean that it is gone already.
        let _ = self.shell.kill();
        if let Err(error) = self.shell.wait() {
            eprintln!("the shell of a terminal could not be waited for: {error}");
        }
    }
}

fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    tcsetwinsize(&slave, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 })?;
    Ok((master, slave))
}

fn lead_session(command: &mut Command) {
    let become_leader = || {
        // Whoever started us may ignore them, as nohup does; a terminal that hangs up has to end what runs on it.
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
            // SAFETY: the default action runs no code of ours.
            unsafe { sigaction(signal, &default) }?;
        }
        rustix::process::setsid()?;
        rustix::process::ioctl_tiocsctty(io::stdin().as_fd())?;
        Ok(())
    };
    // SAFETY: between fork and exec only system calls are made; nothing is allocated and no lock is taken.
    unsafe {
        command.pre_exec(become_leader);
    }
}

fn scrolled(screen: &mut vt100::Screen) -> usize {
    let offset = screen.scrollback();
    screen.set_scrollback(usize::MAX);
    let scrolled = screen.scrollback();
    screen.set_scrollback(offset);
    scrolled
}

fn cursor(screen: &mut vt100::Screen) -> Position {
    let (row, column) = screen.cursor_position();
    Position { row: scrolled(screen) + usize::from(row), column }
}
