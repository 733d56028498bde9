//! Where the shell's commands come from, line by line: a text, standard input, or a terminal in cooked mode.

use super::signals;
use rustix::event::{PollFd, PollFlags, poll};
use std::os::fd::BorrowedFd;

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
    Terminal,
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
        Input { source: Source::Terminal }
    }

    /// The next line with its newline. Standard input is read byte by byte: what follows belongs to the commands.
    pub fn line(&mut self) -> Line {
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
            Source::Stdin => read_bytewise(false),
            Source::Terminal => read_bytewise(true),
        }
    }
}

fn read_bytewise(interruptible: bool) -> Line {
    // SAFETY: descriptor 0 stays open for the life of the process, or reads fail with EBADF.
    let stdin = unsafe { BorrowedFd::borrow_raw(0) };
    let mut line = Vec::new();
    loop {
        if interruptible && !wait_for(stdin) {
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
fn wait_for(stdin: BorrowedFd<'_>) -> bool {
    loop {
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
