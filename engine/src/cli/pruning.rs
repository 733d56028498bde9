//! Removing all that is not needed: the question before, and what is told afterwards.

use std::io::{self, BufRead};

use super::messages::{Failure, print, print_line};
use super::units;
use crate::container::{EngineError, Pruned};

/// Asks whether to go on; `y` alone means yes.
pub fn is_wanted(warning: &str) -> Result<bool, Failure> {
    print(&format!("{warning}\nAre you sure you want to continue? [y/N] "))?;
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::new(format!("read /dev/stdin: {error}")))?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}

/// Tells what went, under a heading such as `Deleted Images:`, how many bytes that gave back, and what would not go.
pub fn tell<T>(heading: &str, pruned: Pruned<T>, line: impl Fn(&T) -> String) -> Result<(), Failure> {
    if !pruned.removed.is_empty() {
        let lines: Vec<String> = pruned.removed.iter().map(line).collect();
        print(&format!("{heading}\n{}\n\n", lines.join("\n")))?;
    }
    print_line(format_args!("Total reclaimed space: {}", units::precise_size(pruned.reclaimed_bytes)))?;
    pruned.failure.map_or(Ok(()), |error: EngineError| Err(error.into()))
}
