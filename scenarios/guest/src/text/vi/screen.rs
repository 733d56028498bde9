//! The whole terminal while an editor has it: raw mode and the alternate screen, both given back in the end.

use super::buffer::Buffer;
use crate::say;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;

const TAB_STOP: usize = 8;

pub struct Screen {
    settings: Termios,
    /// The first line and column of the text that are shown.
    top: usize,
    left: usize,
}

impl Screen {
    pub fn take() -> io::Result<Screen> {
        let settings = tcgetattr(io::stdin())?;
        let mut raw = settings.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        say::text("\x1b[?1049h");
        Ok(Screen { settings, top: 0, left: 0 })
    }

    /// Draws what is seen of the text, `~` below its end, and `status` in the last row, with the cursor in it if it is typed.
    pub fn draw(&mut self, buffer: &Buffer, status: &str, is_typed: bool) {
        let size = tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_row > 1 && size.ws_col > 0);
        let (rows, columns) = size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)));
        let shown = rows - 1;
        self.top = self.top.min(buffer.row).max((buffer.row + 1).saturating_sub(shown));
        let column = expanded(&buffer.lines[buffer.row][..buffer.column.min(buffer.lines[buffer.row].len())]).len();
        self.left = self.left.min(column).max((column + 1).saturating_sub(columns));
        let mut drawn = String::from("\x1b[?25l\x1b[H");
        for row in 0..shown {
            match buffer.lines.get(self.top + row) {
                Some(line) => drawn.extend(expanded(line).into_iter().skip(self.left).take(columns)),
                None => drawn.push('~'),
            }
            drawn.push_str("\x1b[K\r\n");
        }
        let status: String = status.chars().take(columns.saturating_sub(1)).collect();
        drawn.push_str(&status);
        drawn.push_str("\x1b[K");
        let (row, column) = match is_typed {
            true => (rows, status.chars().count() + 1),
            false => (buffer.row - self.top + 1, column - self.left + 1),
        };
        say::text(format!("{drawn}\x1b[{row};{column}H\x1b[?25h"));
        say::flush();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        say::text("\x1b[?1049l");
        say::flush();
        // A terminal that is gone needs no settings.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.settings);
    }
}

/// A line as it is shown: tabs as blanks, control characters in caret notation.
fn expanded(line: &[char]) -> Vec<char> {
    let mut shown = Vec::with_capacity(line.len());
    for c in line {
        match c {
            '\t' => shown.resize((shown.len() / TAB_STOP + 1) * TAB_STOP, ' '),
            c if c.is_ascii_control() => shown.extend(['^', char::from((*c as u8) ^ 0x40)]),
            c => shown.push(*c),
        }
    }
    shown
}
