//! Where the shell's commands come from, line by line: a text, standard input, or a terminal in cooked mode.

use super::signals;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Write as _;
use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::Duration;

/// A window that is dragged changes its size many times; the prompt is written once it rests.
const RESIZES_REST: Duration = Duration::from_millis(200);

/// One line, or why there is none.
pub enum Line {
    Text(String),
    End,
    /// Ctrl-C was typed.
    Interrupted,
}

enum Source {
    Text(Vec<u8>, usize),
    Stdin,
    /// Whether its size is known: a new terminal has none until somebody gives it one, which is not a change.
    Terminal {
        sized: bool,
    },
}

pub struct Input {
    source: Source,
}

impl Input {
    pub fn text(text: Vec<u8>) -> Input {
        Input { source: Source::Text(text, 0) }
    }

    pub fn stdin() -> Input {
        Input { source: Source::Stdin }
    }

    pub fn terminal() -> Input {
        let sized = has_size();
        // The size may have come in between.
        let sized = if signals::take_resize() { has_size() } else { sized };
        Input { source: Source::Terminal { sized } }
    }

    /// The next line with its newline. Standard input is read byte by byte: what follows belongs to the commands.
    /// `prompt`, which stands before the line already, is written anew when the terminal's size changes.
    pub fn line(&mut self, prompt: &str) -> Line {
        match &mut self.source {
            Source::Text(text, position) => {
                let rest = &text[*position..];
                if rest.is_empty() {
                    return Line::End;
                }
                let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
                let line = String::from_utf8_lossy(&rest[..length]).into_owned();
                *position += length;
                Line::Text(line)
            }
            Source::Stdin => read_bytewise(None),
            Source::Terminal { sized } => read_bytewise(Some((prompt, sized))),
        }
    }
}

fn read_bytewise(mut terminal: Option<(&str, &mut bool)>) -> Line {
    // SAFETY: descriptor 0 stays open for the life of the process, or reads fail with EBADF.
    let stdin = unsafe { BorrowedFd::borrow_raw(0) };
    let mut line = Vec::new();
    loop {
        if terminal.as_mut().is_some_and(|(prompt, sized)| !wait_for(stdin, prompt, sized)) {
            return Line::Interrupted;
        }
        let mut byte = [0u8];
        match rustix::io::read(stdin, &mut byte) {
            Ok(0) => {
                return if line.is_empty() {
                    Line::End
                } else {
                    Line::Text(String::from_utf8_lossy(&line).into_owned())
                };
            }
            Ok(_) => {
                line.push(byte[0]);
                if byte[0] == b'\n' {
                    return Line::Text(String::from_utf8_lossy(&line).into_owned());
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            Err(_) => return Line::End,
        }
    }
}

/// Waits until `stdin` can be read; false when ctrl-C came instead.
fn wait_for(stdin: BorrowedFd<'_>, prompt: &str, sized: &mut bool) -> bool {
    loop {
        if signals::take_resize() {
            if *sized {
                redraw(stdin, prompt);
            }
            *sized = has_size();
        }
        if signals::take_interrupt() {
            return false;
        }
        let mut ready = vec![PollFd::new(&stdin, PollFlags::IN)];
        let wake = signals::wake_descriptor();
        if let Some(wake) = &wake {
            ready.push(PollFd::new(wake, PollFlags::IN));
        }
        match poll(&mut ready, None) {
            Ok(_) if !ready[0].revents().is_empty() => return true,
            Ok(_) => signals::drain(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

fn redraw(stdin: BorrowedFd<'_>, prompt: &str) {
    sleep(RESIZES_REST);
    signals::take_resize();
    // A line that waits has left the prompt behind.
    let mut waits = [PollFd::new(&stdin, PollFlags::IN)];
    if poll(&mut waits, Some(&Timespec::default())).is_ok_and(|ready| ready > 0) {
        return;
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "\r\x1b[K{prompt}");
    let _ = stderr.flush();
}

fn has_size() -> bool {
    rustix::termios::tcgetwinsize(std::io::stdin()).is_ok_and(|size| size.ws_row > 0)
}
