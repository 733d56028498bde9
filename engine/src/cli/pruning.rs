//! Removing all that is not needed: the question before, and what is told afterwards.

use std::io::{self, BufRead};

use super::messages::{Failure, print, print_line};
use super::units;

/// Asks whether to go on; `y` alone means yes.
pub fn is_wanted(warning: &str) -> Result<bool, Failure> {
    print(&format!("{warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::new(format!("read /dev/stdin: {error}")))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Tells what went, under a heading such as `Deleted Images:`, and how many bytes that gave back.
pub fn tell(heading: &str, lines: &[String], reclaimed_bytes: u64) -> Result<(), Failure> {
    if !lines.is_empty() {
        print(&format!("{heading}\n{}\n\n", lines.join("\n")))?;
    }
    print_line(format_args!("Total reclaimed space: {}", units::precise_size(reclaimed_bytes)))
}
