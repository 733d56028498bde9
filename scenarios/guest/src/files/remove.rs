//! `rm` and `rmdir`.

use crate::applets::Call;
use crate::options::{Accepts, missing_operand};
use crate::say;
use std::io;
use std::path::Path;

pub fn rm(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "rm",
        short: "rRfidv",
        long: &[("recursive", 'r'), ("force", 'f'), ("dir", 'd'), ("verbose", 'v'), ("no-preserve-root", 'N')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        return if options.has('f') { 0 } else { missing_operand("rm") };
    }
    let recursive = options.has('r') || options.has('R');
    let mut status = 0;
    for operand in &options.operands {
        let path = Path::new(operand);
        let last = crate::applets::basename(operand);
        if last == "." || last == ".." {
            say::complain("rm", format!("refusing to remove '.' or '..' directory: skipping '{operand}'"));
            status = 1;
            continue;
        }
        if recursive && operand.chars().all(|c| c == '/') && !options.has('N') {
            say::complain("rm", "it is dangerous to operate recursively on '/'");
            error_line!("rm: use --no-preserve-root to override this failsafe");
            status = 1;
            continue;
        }
        let removed = match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound && options.has('f') => true,
            Err(error) => refuse("rm", operand, &error),
            Ok(found) if found.is_dir() && recursive => tree("rm", path),
            Ok(found) if found.is_dir() && options.has('d') => report("rm", operand, std::fs::remove_dir(path)),
            Ok(found) if found.is_dir() => {
                say::complain("rm", format!("cannot remove '{operand}': Is a directory"));
                false
            }
            Ok(_) => report("rm", operand, std::fs::remove_file(path)),
        };
        if removed && options.has('v') {
            say::line(format!("removed '{operand}'"));
        }
        status |= u8::from(!removed);
    }
    status
}

fn report(name: &str, shown: &str, result: io::Result<()>) -> bool {
    match result {
        Ok(()) => true,
        Err(error) => refuse(name, shown, &error),
    }
}

fn refuse(name: &str, shown: &str, error: &io::Error) -> bool {
    say::complain(name, format!("cannot remove '{shown}': {}", say::reason(error)));
    false
}

/// Removes a file or a whole tree, going on after failures; true when nothing is left.
pub fn tree(name: &str, path: &Path) -> bool {
    let shown = path.display().to_string();
    match path.symlink_metadata() {
        Err(error) => refuse(name, &shown, &error),
        Ok(found) if !found.is_dir() => report(name, &shown, std::fs::remove_file(path)),
        Ok(_) => {
            let mut clean = true;
            match std::fs::read_dir(path) {
                Err(error) => return refuse(name, &shown, &error),
                Ok(entries) => {
                    for entry in entries.filter_map(Result::ok) {
                        clean &= tree(name, &entry.path());
                    }
                }
            }
            clean && report(name, &shown, std::fs::remove_dir(path))
        }
    }
}

pub fn rmdir(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "rmdir",
        short: "pv",
        long: &[("parents", 'p'), ("verbose", 'v'), ("ignore-fail-on-non-empty", 'I')],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    if options.operands.is_empty() {
        return missing_operand("rmdir");
    }
    let mut status = 0;
    for operand in &options.operands {
        let mut path = Some(Path::new(operand));
        while let Some(directory) = path.filter(|path| !path.as_os_str().is_empty()) {
            if let Err(error) = std::fs::remove_dir(directory) {
                if !(options.has('I') && error.kind() == io::ErrorKind::DirectoryNotEmpty) {
                    say::complain(
                        "rmdir",
                        format!("failed to remove '{}': {}", directory.display(), say::reason(&error)),
                    );
                    status = 1;
                }
                break;
            }
            path = if options.has('p') { directory.parent() } else { None };
        }
    }
    status
}
