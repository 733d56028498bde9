//! Output of the applets: buffered standard output, GNU-style complaints, and the exit status when writing fails.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{self, BufWriter, Stdout, Write};

thread_local! {
    static OUT: RefCell<BufWriter<Stdout>> = RefCell::new(BufWriter::with_capacity(64 * 1024, io::stdout()));
    static FAILED: RefCell<Option<io::Error>> = const { RefCell::new(None) };
}

/// Writes bytes to standard output; a failure is kept for [`finish`].
pub fn bytes(data: &[u8]) {
    OUT.with_borrow_mut(|out| {
        if let Err(error) = out.write_all(data) {
            FAILED.with_borrow_mut(|failed| {
                failed.get_or_insert(error);
            });
        }
    });
}

/// Writes a text without a newline.
pub fn text(value: impl Display) {
    bytes(value.to_string().as_bytes());
}

/// Writes a text and a newline.
pub fn line(value: impl Display) {
    text(value);
    bytes(b"\n");
}

/// Pushes what was written so far to the file descriptor.
pub fn flush() {
    OUT.with_borrow_mut(|out| {
        if let Err(error) = out.flush() {
            FAILED.with_borrow_mut(|failed| {
                failed.get_or_insert(error);
            });
        }
    });
}

/// Whether writing has failed; long-running writers stop on it.
pub fn broken() -> bool {
    FAILED.with_borrow(Option::is_some)
}

/// Flushes and gives the exit status: the applet's own, or 1 with a message when the output could not be written.
pub fn finish(status: u8) -> u8 {
    flush();
    match FAILED.take() {
        None => status,
        Some(failed) => {
            error_line!("write error: {}", reason(&failed));
            1
        }
    }
}

/// Prints `NAME: MESSAGE` on standard error, after everything written to standard output so far.
pub fn complain(name: &str, message: impl Display) {
    error(format_args!("{name}: {message}"));
}

/// Prints a line on standard error, after everything written to standard output so far, and in one piece: what a container writes
/// comes through two pipes, and the pieces of the one would stand between those of the other.
pub fn error(line: impl Display) {
    flush();
    // There is nowhere to say that standard error cannot be written.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// The text of an I/O error as C's strerror gives it, without Rust's `(os error N)`.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
