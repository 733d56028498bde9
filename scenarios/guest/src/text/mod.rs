//! Tools on text and streams, in GNU's words.

pub mod archive;
pub mod compare;
pub mod digest;
pub mod edit;
pub mod glob;
pub mod grep;
pub mod order;
pub mod print;
pub mod stream;
pub mod vi;

use crate::say;
use std::io::{self, Read};

/// Opens an operand for reading; `-` is standard input.
pub fn open(path: &str) -> io::Result<Box<dyn Read>> {
    if path == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = std::fs::File::open(path)?;
    if file.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(io::Error::from_raw_os_error(libc::EISDIR));
    }
    Ok(Box::new(file))
}

/// Reads every operand (standard input without any) and hands over name and contents; gives 1 when one was unreadable.
pub fn each(name: &str, operands: &[String], mut act: impl FnMut(&str, Vec<u8>)) -> u8 {
    let standard = ["-".to_owned()];
    let mut status = 0;
    for operand in if operands.is_empty() { &standard[..] } else { operands } {
        let mut contents = Vec::new();
        match open(operand).and_then(|mut reader| reader.read_to_end(&mut contents)) {
            Ok(_) => act(operand, contents),
            Err(error) => {
                say::complain(name, format!("{operand}: {}", say::reason(&error)));
                status = 1;
            }
        }
    }
    status
}

/// The lines of a text without their newlines.
pub fn lines(contents: &[u8]) -> impl Iterator<Item = &[u8]> {
    let body = contents.strip_suffix(b"\n").unwrap_or(contents);
    let whole = (!contents.is_empty()).then_some(body);
    whole.into_iter().flat_map(|body| body.split(|byte| *byte == b'\n'))
}
