//! `sha256sum`.

use super::open;
use crate::applets::Call;
use crate::options::Accepts;
use crate::say;
use sha2::{Digest as _, Sha256};
use std::io;

pub fn sha256sum(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "sha256sum",
        short: "bct",
        long: &[("check", 'c'), ("quiet", 'Q'), ("status", 'S')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let standard = ["-".to_owned()];
    let operands = if options.operands.is_empty() { &standard[..] } else { &options.operands[..] };
    let mut status = 0;
    for operand in operands {
        if options.has('c') {
            status |= check(operand, options.has('Q') || options.has('S'), options.has('S'));
            continue;
        }
        match of(operand) {
            Ok(sum) => say::line(format!("{sum}  {operand}")),
            Err(error) => {
                say::complain("sha256sum", format!("{operand}: {}", say::reason(&error)));
                status = 1;
            }
        }
    }
    status
}

fn of(path: &str) -> io::Result<String> {
    let mut reader = open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0u8; 128 * 1024];
    loop {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(&buffer[..length]);
    }
}

fn check(list: &str, quiet: bool, silent: bool) -> u8 {
    let mut text = String::new();
    if let Err(error) = open(list).and_then(|mut reader| reader.read_to_string(&mut text)) {
        say::complain("sha256sum", format!("{list}: {}", say::reason(&error)));
        return 1;
    }
    let (mut unreadable, mut different, mut proper) = (0, 0, 0);
    for line in text.lines() {
        let Some((wanted, path)) = line.split_once("  ").or_else(|| line.split_once(" *")) else { continue };
        proper += 1;
        match of(path) {
            Ok(sum) if sum.eq_ignore_ascii_case(wanted) => {
                if !quiet {
                    say::line(format!("{path}: OK"));
                }
            }
            Ok(_) => {
                different += 1;
                if !silent {
                    say::line(format!("{path}: FAILED"));
                }
            }
            Err(error) => {
                unreadable += 1;
                say::complain("sha256sum", format!("{path}: {}", say::reason(&error)));
                say::line(format!("{path}: FAILED open or read"));
            }
        }
    }
    let warn = |count: usize, one: &str, many: &str| match count {
        0 => {}
        1 => say::complain("sha256sum", format!("WARNING: 1 {one}")),
        _ => say::complain("sha256sum", format!("WARNING: {count} {many}")),
    };
    if proper == 0 {
        say::complain("sha256sum", format!("{list}: no properly formatted checksum lines found"));
        return 1;
    }
    warn(unreadable, "listed file could not be read", "listed files could not be read");
    if !silent {
        warn(different, "computed checksum did NOT match", "computed checksums did NOT match");
    }
    u8::from(unreadable + different > 0)
}
