//! The lab's package managers: archives are fetched from a repository, verified, unpacked and written into a database.
//!
//! *Why*: the documents install packages, and what that changes in a container's layer must be real files.
//! *Holds*: nothing is unpacked whose size and SHA-256 differ from the index; every unpacked path stands in the database.
//! *Never*: a signature is checked; the stand-ins say so themselves. *Proved by* `scenarios/tests/packages.rs` and
//! `scenarios/cases/packages`.

pub mod apt;
mod apt_lists;
pub mod dpkg;
pub mod fetch;
pub mod stanza;
pub mod unpack;
pub mod yum;

use std::io::{BufRead as _, IsTerminal as _};

/// Asks on the terminal and gives the answer's first letter in lower case, `default` for Enter; `None` when there is no answer.
fn ask(question: &str, default: char) -> Option<char> {
    crate::say::text(question);
    crate::say::flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if !std::io::stdin().is_terminal() {
        crate::say::line("");
    }
    match read {
        Ok(1..) => Some(answer.trim().chars().next().unwrap_or(default).to_ascii_lowercase()),
        _ => None,
    }
}

/// Bytes as package managers write them: `4,321 kB`.
fn size(bytes: u64) -> String {
    let grouped = |number: u64| {
        let digits = number.to_string();
        let head = digits.len() % 3;
        let mut parts: Vec<&str> = Vec::new();
        if head > 0 {
            parts.push(&digits[..head]);
        }
        parts.extend((head..digits.len()).step_by(3).map(|at| &digits[at..at + 3]));
        parts.join(",")
    };
    match bytes {
        0..10_000 => format!("{} B", grouped(bytes)),
        10_000..10_000_000 => format!("{} kB", grouped(bytes / 1000)),
        _ => format!("{}.{} MB", grouped(bytes / 1_000_000), bytes % 1_000_000 / 100_000),
    }
}
