//! `diff` (normal and unified, also of directories) and `cmp`.

use crate::applets::Call;
use crate::clock::Instant;
use crate::options::{Accepts, Options, missing_operand};
use crate::say;
use similar::{DiffOp, TextDiff};
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

pub fn diff(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "diff",
        short: "abBiNqrsuU:w",
        long: &[
            ("unified", 'u'),
            ("brief", 'q'),
            ("recursive", 'r'),
            ("new-file", 'N'),
            ("report-identical-files", 's'),
        ],
        misuse: 2,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let [left, right] = options.operands.as_slice() else {
        return missing_operand("diff").max(2);
    };
    pair(&options, left, right, false)
}

fn pair(options: &Options, left: &str, right: &str, nested: bool) -> u8 {
    let (is_left, is_right) = (Path::new(left).is_dir(), Path::new(right).is_dir());
    if is_left && is_right {
        return directories(options, left, right);
    }
    let inside =
        |directory: &str, file: &str| format!("{}/{}", directory.trim_end_matches('/'), crate::applets::basename(file));
    let (left, right) = match (is_left, is_right) {
        (true, false) => (inside(left, right), right.to_owned()),
        (false, true) => (left.to_owned(), inside(right, left)),
        _ => (left.to_owned(), right.to_owned()),
    };
    let (a, b) = match (contents(options, &left), contents(options, &right)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            for (path, error) in [(&left, a.err()), (&right, b.err())] {
                if let Some(error) = error {
                    say::complain("diff", format!("{path}: {}", say::reason(&error)));
                }
            }
            return 2;
        }
    };
    if a == b {
        if options.has('s') {
            say::line(format!("Files {left} and {right} are identical"));
        }
        return 0;
    }
    if options.has('q') {
        say::line(format!("Files {left} and {right} differ"));
        return 1;
    }
    let (Ok(a), Ok(b)) = (String::from_utf8(a), String::from_utf8(b)) else {
        say::line(format!("Binary files {left} and {right} differ"));
        return 1;
    };
    if nested {
        say::line(format!("diff {}{left} {right}", if options.has('u') { "-ru " } else { "-r " }));
    }
    let changes = TextDiff::from_lines(a.as_str(), b.as_str());
    if options.has('u') || options.has('U') {
        let context = options.value('U').and_then(|text| text.parse().ok()).unwrap_or(3);
        say::line(format!("--- {left}\t{}\n+++ {right}\t{}", modified(&left), modified(&right)));
        let mut shown = changes.unified_diff();
        say::text(shown.context_radius(context).missing_newline_hint(true));
    } else {
        normal(changes.ops(), &lines(&a), &lines(&b));
    }
    1
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn contents(options: &Options, path: &str) -> io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    match super::open(path) {
        Err(error) if options.has('N') && error.kind() == io::ErrorKind::NotFound => Ok(contents),
        Err(error) => Err(error),
        Ok(mut reader) => reader.read_to_end(&mut contents).map(|_| contents),
    }
}

fn modified(path: &str) -> String {
    std::fs::metadata(path)
        .and_then(|found| found.modified())
        .map_or_else(|_| Instant { seconds: 0, nanoseconds: 0 }, Instant::from_system)
        .full()
}

fn normal(changes: &[DiffOp], a: &[&str], b: &[&str]) {
    for change in changes {
        let (old, new) = (change.old_range(), change.new_range());
        let span = |range: &std::ops::Range<usize>| match range.len() {
            0 => range.start.to_string(),
            1 => (range.start + 1).to_string(),
            _ => format!("{},{}", range.start + 1, range.end),
        };
        let letter = match change {
            DiffOp::Equal { .. } => continue,
            DiffOp::Delete { .. } => 'd',
            DiffOp::Insert { .. } => 'a',
            DiffOp::Replace { .. } => 'c',
        };
        say::line(format!("{}{letter}{}", span(&old), span(&new)));
        print('<', &a[old]);
        if letter == 'c' {
            say::line("---");
        }
        print('>', &b[new]);
    }
}

fn print(mark: char, lines: &[&str]) {
    for line in lines {
        say::text(format!("{mark} {line}"));
        if !line.ends_with('\n') {
            say::text("\n\\ No newline at end of file\n");
        }
    }
}

fn directories(options: &Options, left: &str, right: &str) -> u8 {
    let names = |path: &str| -> io::Result<BTreeSet<String>> {
        Ok(std::fs::read_dir(path)?
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect())
    };
    let (a, b) = match (names(left), names(right)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            for (path, error) in [(left, a.err()), (right, b.err())] {
                if let Some(error) = error {
                    say::complain("diff", format!("{path}: {}", say::reason(&error)));
                }
            }
            return 2;
        }
    };
    let mut status = 0;
    for name in a.union(&b) {
        let (in_left, in_right) = (format!("{left}/{name}"), format!("{right}/{name}"));
        status = status.max(match (a.contains(name), b.contains(name)) {
            (true, true) => {
                if Path::new(&in_left).is_dir() && Path::new(&in_right).is_dir() && !options.has('r') {
                    say::line(format!("Common subdirectories: {in_left} and {in_right}"));
                    0
                } else {
                    pair(options, &in_left, &in_right, true)
                }
            }
            (_, _) if options.has('N') => pair(options, &in_left, &in_right, true),
            (true, false) => {
                say::line(format!("Only in {left}: {name}"));
                1
            }
            _ => {
                say::line(format!("Only in {right}: {name}"));
                1
            }
        });
    }
    status
}

pub fn cmp(call: &Call) -> u8 {
    let accepts = Accepts { name: "cmp", short: "sl", long: &[("silent", 's'), ("quiet", 's')], misuse: 2 };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let [left, right] = options.operands.as_slice() else { return missing_operand("cmp").max(2) };
    let (a, b) = match (contents(&options, left), contents(&options, right)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            for (path, error) in [(left, a.err()), (right, b.err())] {
                if let Some(error) = error {
                    say::complain("cmp", format!("{path}: {}", say::reason(&error)));
                }
            }
            return 2;
        }
    };
    if a == b {
        return 0;
    }
    if !options.has('s') {
        match a.iter().zip(&b).position(|(x, y)| x != y) {
            Some(at) => {
                let line = a[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                say::line(format!("{left} {right} differ: byte {}, line {line}", at + 1));
            }
            None => {
                let (shorter, contents) = if a.len() < b.len() { (left, &a) } else { (right, &b) };
                let lines = contents.iter().filter(|byte| **byte == b'\n').count();
                say::complain("cmp", format!("EOF on {shorter} after byte {}, line {lines}", contents.len()));
            }
        }
    }
    1
}
