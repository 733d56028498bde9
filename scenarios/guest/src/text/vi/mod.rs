//! `vi`: a small modal editor for one file, with vi's keys, messages and alternate screen.
//!
//! Normal mode knows h j k l and the arrows, 0 ^ $ G, i I a A o O, x X dd D, u (one step), ZZ ZQ and `:`; the command line
//! knows :w [FILE] :q :wq :x with `!`, and a line number. What it does not know it says, or rings the bell.

mod buffer;
mod keys;
mod screen;

use crate::applets::Call;
use crate::say;
use buffer::Buffer;
use keys::{Key, Keyboard};
use screen::Screen;
use std::io::IsTerminal as _;

enum Mode {
    Normal,
    Insert,
    Command(String),
}

struct Editor {
    buffer: Buffer,
    mode: Mode,
    /// The first key of a command of two: `d`, `Z`, `g`.
    pending: Option<char>,
    /// What the last row says; it goes with the next key.
    message: String,
    done: bool,
}

pub fn vi(call: &Call) -> u8 {
    let files = call.args;
    if let Some(option) = files.iter().find(|arg| arg.starts_with(['-', '+'])) {
        say::complain(call.name, format!("Unknown option argument: \"{option}\": this stand-in takes one FILE"));
        return 1;
    }
    if files.len() > 1 {
        say::complain(call.name, "this stand-in edits one file at a time");
        return 1;
    }
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        say::complain(call.name, "input and output must be a terminal (docker run -t)");
        return 1;
    }
    let (buffer, message) = match Buffer::open(files.first().map(|file| file.as_str())) {
        Ok(opened) => opened,
        Err(what) => {
            say::complain(call.name, what);
            return 1;
        }
    };
    let mut screen = match Screen::take() {
        Ok(screen) => screen,
        Err(error) => {
            say::complain(call.name, say::reason(&error));
            return 1;
        }
    };
    let mut editor = Editor { buffer, mode: Mode::Normal, pending: None, message, done: false };
    let mut keyboard = Keyboard::default();
    loop {
        if !keyboard.has_more() {
            editor.draw(&mut screen);
        }
        match keyboard.next() {
            Some(key) => editor.press(key),
            None => return 1,
        }
        if editor.done {
            return 0;
        }
    }
}

impl Editor {
    fn draw(&self, screen: &mut Screen) {
        match &self.mode {
            Mode::Command(command) => screen.draw(&self.buffer, &format!(":{command}"), true),
            Mode::Insert => screen.draw(&self.buffer, "-- INSERT --", false),
            Mode::Normal => screen.draw(&self.buffer, &self.message, false),
        }
    }

    fn press(&mut self, key: Key) {
        self.message.clear();
        match std::mem::replace(&mut self.mode, Mode::Normal) {
            Mode::Insert => self.insert(key),
            Mode::Command(command) => self.command_line(command, key),
            Mode::Normal => self.normal(key),
        }
    }

    fn insert(&mut self, key: Key) {
        self.mode = Mode::Insert;
        match key {
            Key::Esc => {
                self.mode = Mode::Normal;
                self.buffer.left();
            }
            Key::Enter => self.buffer.break_line(),
            Key::Backspace => self.buffer.backspace(),
            Key::Delete => self.buffer.delete(),
            Key::Char(c) => self.buffer.type_char(c),
            other => self.walk(other),
        }
    }

    /// Keys that move in every mode.
    fn walk(&mut self, key: Key) {
        let past_end = matches!(self.mode, Mode::Insert);
        match key {
            Key::Left => self.buffer.left(),
            Key::Right => self.buffer.right(past_end),
            Key::Up => self.buffer.up(past_end),
            Key::Down => self.buffer.down(past_end),
            Key::Home => self.buffer.column = 0,
            Key::End => self.buffer.go_to_end(past_end),
            _ => self.bell(),
        }
    }

    fn bell(&mut self) {
        say::text("\x07");
    }

    fn start_insert(&mut self) {
        self.buffer.remember();
        self.mode = Mode::Insert;
    }

    fn normal(&mut self, key: Key) {
        let Key::Char(c) = key else {
            match key {
                Key::Enter => self.buffer.down(false),
                Key::Backspace => self.buffer.left(),
                Key::Delete => self.normal(Key::Char('x')),
                Key::Esc => self.pending = None,
                other => self.walk(other),
            }
            return;
        };
        match (self.pending.take(), c) {
            (Some('d'), 'd') => {
                self.buffer.remember();
                self.buffer.delete_line();
            }
            (Some('Z'), 'Z') => self.run("x"),
            (Some('Z'), 'Q') => self.run("q!"),
            (Some('g'), 'g') => self.buffer.go_to(1),
            (Some(_), _) => self.bell(),
            (None, 'd' | 'Z' | 'g') => self.pending = Some(c),
            (None, 'h') => self.buffer.left(),
            (None, 'j') => self.buffer.down(false),
            (None, 'k') => self.buffer.up(false),
            (None, 'l' | ' ') => self.buffer.right(false),
            (None, '0' | '^') => self.buffer.column = 0,
            (None, '$') => self.buffer.go_to_end(false),
            (None, 'G') => self.buffer.go_to(usize::MAX),
            (None, 'u') => self.buffer.undo(),
            (None, 'i') => self.start_insert(),
            (None, 'I') => {
                self.buffer.column = 0;
                self.start_insert();
            }
            (None, 'a') => {
                self.start_insert();
                self.buffer.right(true);
            }
            (None, 'A') => {
                self.start_insert();
                self.buffer.go_to_end(true);
            }
            (None, 'o') => {
                self.start_insert();
                self.buffer.open_below();
            }
            (None, 'O') => {
                self.start_insert();
                self.buffer.open_above();
            }
            (None, 'x') => {
                self.buffer.remember();
                self.buffer.delete();
                self.buffer.settle();
            }
            (None, 'X') => {
                self.buffer.remember();
                if self.buffer.column > 0 {
                    self.buffer.backspace();
                }
            }
            (None, 'D') => {
                self.buffer.remember();
                self.buffer.cut_to_end();
                self.buffer.settle();
            }
            (None, ':') => self.mode = Mode::Command(String::new()),
            (None, _) => self.bell(),
        }
    }

    fn command_line(&mut self, mut command: String, key: Key) {
        match key {
            Key::Enter => self.run(command.trim()),
            Key::Esc => {}
            Key::Backspace if command.is_empty() => {}
            Key::Backspace => {
                command.pop();
                self.mode = Mode::Command(command);
            }
            Key::Char(c) => {
                command.push(c);
                self.mode = Mode::Command(command);
            }
            _ => self.mode = Mode::Command(command),
        }
    }

    fn run(&mut self, command: &str) {
        let (word, argument) =
            command.split_once(' ').map_or((command, None), |(word, rest)| (word, Some(rest.trim())));
        match (word, argument) {
            ("", _) => {}
            ("w" | "w!", path) => self.write(path),
            ("q", None) if self.buffer.modified => {
                "E37: No write since last change (add ! to override)".clone_into(&mut self.message);
            }
            ("q" | "q!", None) => self.done = true,
            ("wq" | "wq!", path) => {
                self.write(path);
                self.done = !self.buffer.modified;
            }
            ("x" | "x!", path) => {
                if self.buffer.modified || path.is_some() {
                    self.write(path);
                }
                self.done = !self.buffer.modified;
            }
            (number, None) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.buffer.go_to(number.parse().unwrap_or(usize::MAX));
            }
            _ => self.message = format!("E492: Not an editor command: {command}"),
        }
    }

    fn write(&mut self, path: Option<&str>) {
        self.message = self.buffer.write(path).unwrap_or_else(|what| what);
    }
}
