//! The text that is edited, where the cursor stands in it, and its file.

use crate::say;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Clone)]
struct Text {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
}

pub struct Buffer {
    pub lines: Vec<Vec<char>>,
    pub row: usize,
    pub column: usize,
    pub modified: bool,
    path: Option<PathBuf>,
    before: Option<Text>,
    /// Nothing was ever in it: written as a file without a byte, not as one empty line.
    untouched: bool,
}

impl Buffer {
    /// The file's text, or an empty one for a file that is not there, and what vi says of it.
    pub fn open(path: Option<&str>) -> Result<(Buffer, String), String> {
        let mut buffer = Buffer {
            lines: vec![Vec::new()],
            row: 0,
            column: 0,
            modified: false,
            path: path.map(PathBuf::from),
            before: None,
            untouched: true,
        };
        let Some(path) = path else { return Ok((buffer, String::new())) };
        if Path::new(path).is_dir() {
            return Err(format!("\"{path}\" is a directory"));
        }
        match std::fs::read(path) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| format!("\"{path}\" is no UTF-8 text"))?;
                // Not by `lines`, which would lose the carriage returns of files from elsewhere.
                let whole = text.strip_suffix('\n').unwrap_or(&text).split('\n');
                let lines: Vec<Vec<char>> =
                    if text.is_empty() { Vec::new() } else { whole.map(|line| line.chars().collect()).collect() };
                let message = format!("\"{path}\" {}L, {}C", lines.len(), text.len());
                if !lines.is_empty() {
                    buffer.lines = lines;
                    buffer.untouched = false;
                }
                Ok((buffer, message))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((buffer, format!("\"{path}\" [New File]"))),
            Err(error) => Err(format!("\"{path}\": {}", say::reason(&error))),
        }
    }

    /// Writes the text, every line with its end; gives what vi says, in either case.
    pub fn write(&mut self, to: Option<&str>) -> Result<String, String> {
        let path = to.map(PathBuf::from).or_else(|| self.path.clone()).ok_or("E32: No file name")?;
        let is_new = !path.exists();
        let mut text = String::new();
        if !self.untouched {
            for line in &self.lines {
                text.extend(line);
                text.push('\n');
            }
        }
        let shown = path.display();
        std::fs::write(&path, &text)
            .map_err(|error| format!("\"{shown}\" E212: Can't open file for writing: {}", say::reason(&error)))?;
        let lines = if self.untouched { 0 } else { self.lines.len() };
        let message = format!("\"{shown}\" {}{lines}L, {}C written", if is_new { "[New] " } else { "" }, text.len());
        if self.path.is_none() || self.path.as_deref() == Some(&path) {
            self.modified = false;
            self.path = Some(path);
        }
        Ok(message)
    }

    /// Keeps the text as it is now for [`Buffer::undo`].
    pub fn remember(&mut self) {
        self.before = Some(Text { lines: self.lines.clone(), row: self.row, column: self.column });
    }

    /// Goes back to what was remembered; a second time forth again.
    pub fn undo(&mut self) {
        if let Some(before) = self.before.take() {
            self.remember();
            (self.lines, self.row, self.column) = (before.lines, before.row, before.column);
            self.touch();
            self.settle();
        }
    }

    fn touch(&mut self) {
        self.modified = true;
        self.untouched = false;
    }

    fn length(&self) -> usize {
        self.lines[self.row].len()
    }

    pub fn left(&mut self) {
        self.column = self.column.saturating_sub(1);
    }

    /// `past_end`: in insert mode the cursor may stand behind the last character.
    pub fn right(&mut self, past_end: bool) {
        self.column += 1;
        self.hold(past_end);
    }

    pub fn up(&mut self, past_end: bool) {
        self.row = self.row.saturating_sub(1);
        self.hold(past_end);
    }

    pub fn down(&mut self, past_end: bool) {
        self.row = (self.row + 1).min(self.lines.len() - 1);
        self.hold(past_end);
    }

    pub fn go_to_end(&mut self, past_end: bool) {
        self.column = usize::MAX - 1;
        self.hold(past_end);
    }

    /// To a line, counted from 1.
    pub fn go_to(&mut self, line: usize) {
        self.row = line.saturating_sub(1).min(self.lines.len() - 1);
        self.column = 0;
    }

    /// Puts the cursor on a character again, where there is one.
    pub fn settle(&mut self) {
        self.row = self.row.min(self.lines.len() - 1);
        self.hold(false);
    }

    fn hold(&mut self, past_end: bool) {
        let last = if past_end { self.length() } else { self.length().saturating_sub(1) };
        self.column = self.column.min(last);
    }

    pub fn type_char(&mut self, c: char) {
        let column = self.column.min(self.length());
        self.lines[self.row].insert(column, c);
        self.column = column + 1;
        self.touch();
    }

    pub fn break_line(&mut self) {
        let column = self.column.min(self.length());
        let rest = self.lines[self.row].split_off(column);
        self.row += 1;
        self.lines.insert(self.row, rest);
        self.column = 0;
        self.touch();
    }

    pub fn backspace(&mut self) {
        if self.column > 0 {
            self.column -= 1;
            self.lines[self.row].remove(self.column);
            self.touch();
        } else if self.row > 0 {
            let rest = self.lines.remove(self.row);
            self.row -= 1;
            self.column = self.length();
            self.lines[self.row].extend(rest);
            self.touch();
        }
    }

    pub fn delete(&mut self) {
        if self.column < self.length() {
            self.lines[self.row].remove(self.column);
            self.touch();
        }
    }

    pub fn cut_to_end(&mut self) {
        let column = self.column.min(self.length());
        self.lines[self.row].truncate(column);
        self.touch();
    }

    pub fn delete_line(&mut self) {
        self.lines.remove(self.row);
        self.touch();
        if self.lines.is_empty() {
            self.lines.push(Vec::new());
            self.untouched = true;
        }
        self.row = self.row.min(self.lines.len() - 1);
        self.column = 0;
    }

    pub fn open_below(&mut self) {
        self.row += 1;
        self.lines.insert(self.row, Vec::new());
        self.column = 0;
        self.touch();
    }

    pub fn open_above(&mut self) {
        self.lines.insert(self.row, Vec::new());
        self.column = 0;
        self.touch();
    }
}
