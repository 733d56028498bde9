//! Bytes of a terminal in raw mode as keys.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::{self, Read as _};

pub enum Key {
    Char(char),
    Enter,
    Esc,
    Backspace,
    Delete,
    Up,
    Down,
    Left,
    Right,
    Home,
    End,
    Unknown,
}

/// How long after Esc the rest of an arrow key's sequence may take.
const SEQUENCE_WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

#[derive(Default)]
pub struct Keyboard {
    bytes: VecDeque<u8>,
}

impl Keyboard {
    /// Whether keys wait that have been read already.
    pub fn has_more(&self) -> bool {
        !self.bytes.is_empty()
    }

    /// The next key; `None` once the terminal is gone.
    pub fn next(&mut self) -> Option<Key> {
        let first = self.byte()?;
        Some(match first {
            b'\r' | b'\n' => Key::Enter,
            0x7f | 0x08 => Key::Backspace,
            0x1b => self.after_escape()?,
            b'\t' => Key::Char('\t'),
            0..0x20 => Key::Unknown,
            0x20..0x80 => Key::Char(char::from(first)),
            _ => self.multibyte(first)?,
        })
    }

    fn byte(&mut self) -> Option<u8> {
        if self.bytes.is_empty() {
            let mut read = [0; 256];
            let count = loop {
                match io::stdin().lock().read(&mut read) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    outcome => break outcome.ok()?,
                }
            };
            self.bytes.extend(&read[..count]);
        }
        self.bytes.pop_front()
    }

    fn after_escape(&mut self) -> Option<Key> {
        if self.bytes.is_empty() {
            let stdin = io::stdin();
            let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
            if poll(&mut waiting, Some(&SEQUENCE_WAIT)).unwrap_or(0) == 0 {
                return Some(Key::Esc);
            }
            let next = self.byte()?;
            self.bytes.push_front(next);
        }
        if !matches!(self.bytes.front(), Some(b'[' | b'O')) {
            return Some(Key::Esc);
        }
        self.bytes.pop_front();
        let mut number = 0u32;
        loop {
            return Some(match self.byte()? {
                digit @ b'0'..=b'9' => {
                    number = number.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
                    continue;
                }
                b';' => continue,
                b'A' => Key::Up,
                b'B' => Key::Down,
                b'C' => Key::Right,
                b'D' => Key::Left,
                b'H' => Key::Home,
                b'F' => Key::End,
                b'~' if number == 3 => Key::Delete,
                _ => Key::Unknown,
            });
        }
    }

    fn multibyte(&mut self, first: u8) -> Option<Key> {
        let mut bytes = vec![first];
        for _ in 0..(first.leading_ones().saturating_sub(1)).min(3) {
            bytes.push(self.byte()?);
        }
        let decoded = String::from_utf8(bytes).ok().and_then(|text| text.chars().next());
        Some(decoded.map_or(Key::Unknown, Key::Char))
    }
}
