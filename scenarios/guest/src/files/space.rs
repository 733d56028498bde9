//! `du` and `df`.

use super::list::human;
use crate::applets::Call;
use crate::options::{Accepts, Options};
use crate::say;
use crate::system::mounts;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

struct Usage {
    options: Options,
    seen: HashSet<(u64, u64)>,
    depth: usize,
    device: Option<u64>,
    status: u8,
}

pub fn du(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "du",
        short: "abchklmsxd:LA",
        long: &[
            ("all", 'a'),
            ("bytes", 'b'),
            ("total", 'c'),
            ("human-readable", 'h'),
            ("summarize", 's'),
            ("max-depth", 'd'),
            ("one-file-system", 'x'),
            ("apparent-size", 'A'),
        ],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let depth = match (options.has('s'), options.value('d')) {
        (true, _) => 0,
        (false, Some(text)) => match text.parse() {
            Ok(depth) => depth,
            Err(_) => {
                say::complain("du", format!("invalid maximum depth '{text}'"));
                return 1;
            }
        },
        (false, None) => usize::MAX,
    };
    let mut operands = options.operands.clone();
    if operands.is_empty() {
        operands.push(".".to_owned());
    }
    let mut usage = Usage { options, seen: HashSet::new(), depth, device: None, status: 0 };
    let mut total = 0;
    for operand in &operands {
        usage.device = None;
        total += usage.add(Path::new(operand), operand, 0);
    }
    if usage.options.has('c') {
        usage.show(total, "total");
    }
    usage.status
}

impl Usage {
    /// The bytes below `path`, printing what the options ask for on the way.
    fn add(&mut self, path: &Path, shown: &str, level: usize) -> u64 {
        let found = match path.symlink_metadata() {
            Ok(found) => found,
            Err(error) => {
                say::complain("du", format!("cannot access '{shown}': {}", say::reason(&error)));
                self.status = 1;
                return 0;
            }
        };
        if self.options.has('x') && *self.device.get_or_insert(found.dev()) != found.dev() {
            return 0;
        }
        if (found.nlink() > 1 || level == 0) && !self.options.has('l') && !self.seen.insert((found.dev(), found.ino()))
        {
            return 0;
        }
        let apparent = self.options.has('b') || self.options.has('A');
        let mut bytes = if apparent { found.size() } else { found.blocks() * 512 };
        if found.is_dir() {
            match std::fs::read_dir(path) {
                Err(error) => {
                    say::complain("du", format!("cannot read directory '{shown}': {}", say::reason(&error)));
                    self.status = 1;
                }
                Ok(entries) => {
                    for entry in entries.filter_map(Result::ok) {
                        let name = format!("{}/{}", shown.trim_end_matches('/'), entry.file_name().to_string_lossy());
                        bytes += self.add(&entry.path(), &name, level + 1);
                    }
                }
            }
        }
        if level <= self.depth && (level == 0 || found.is_dir() || self.options.has('a')) {
            self.show(bytes, shown);
        }
        bytes
    }

    fn show(&self, bytes: u64, shown: &str) {
        let size = match self.options.last_of("bhkm") {
            Some('b') => bytes.to_string(),
            Some('h') => human(bytes),
            Some('m') => bytes.div_ceil(1 << 20).to_string(),
            _ => bytes.div_ceil(1024).to_string(),
        };
        say::line(format!("{size}\t{shown}"));
    }
}

pub fn df(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "df",
        short: "ahikmPTt:x:l",
        long: &[
            ("all", 'a'),
            ("human-readable", 'h'),
            ("inodes", 'i'),
            ("print-type", 'T'),
            ("type", 't'),
            ("portability", 'P'),
        ],
        misuse: 1,
    };
    let options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let table = mounts::read();
    let mut status = 0;
    let mut chosen: Vec<&mounts::Mount> = Vec::new();
    if options.operands.is_empty() {
        let mut devices = HashSet::new();
        for mount in table.iter().filter(|mount| options.value('t').is_none_or(|kind| kind == mount.kind)) {
            let blocks = rustix::fs::statvfs(mount.target.as_str()).map_or(0, |found| found.f_blocks);
            let device = std::fs::metadata(&mount.target).map(|found| found.dev()).ok();
            if options.has('a') || (blocks > 0 && device.is_some_and(|device| devices.insert(device))) {
                chosen.push(mount);
            }
        }
    }
    for operand in &options.operands {
        match Path::new(operand).canonicalize() {
            Err(error) => {
                say::complain("df", format!("{operand}: {}", say::reason(&error)));
                status = 1;
            }
            Ok(path) => chosen.extend(
                table.iter().filter(|mount| path.starts_with(&mount.target)).max_by_key(|mount| mount.target.len()),
            ),
        }
    }
    print_table(&options, &chosen);
    status
}

fn print_table(options: &Options, chosen: &[&mounts::Mount]) {
    let (human_sizes, inodes) = (options.has('h'), options.has('i'));
    let mut header: Vec<&str> = vec!["Filesystem"];
    if options.has('T') {
        header.push("Type");
    }
    header.extend(match (inodes, human_sizes) {
        (true, _) => ["Inodes", "IUsed", "IFree", "IUse%", "Mounted on"],
        (false, true) => ["Size", "Used", "Avail", "Use%", "Mounted on"],
        (false, false) => ["1K-blocks", "Used", "Available", "Use%", "Mounted on"],
    });
    let mut rows: Vec<Vec<String>> = vec![header.iter().map(|title| (*title).to_owned()).collect()];
    for mount in chosen {
        let Ok(found) = rustix::fs::statvfs(mount.target.as_str()) else { continue };
        let unit = found.f_frsize;
        let (total, used, free) = if inodes {
            (found.f_files, found.f_files - found.f_ffree, found.f_ffree)
        } else {
            (found.f_blocks * unit, (found.f_blocks - found.f_bfree) * unit, found.f_bavail * unit)
        };
        let show = |value: u64| match (inodes, human_sizes) {
            (true, _) => value.to_string(),
            (false, true) => human(value),
            (false, false) => value.div_ceil(1024).to_string(),
        };
        let percent = match used + free {
            0 => "-".to_owned(),
            all => format!("{}%", (u128::from(used) * 100).div_ceil(u128::from(all))),
        };
        let mut row = vec![mount.source.clone()];
        if options.has('T') {
            row.push(mount.kind.clone());
        }
        row.extend([show(total), show(used), show(free), percent, mount.target.clone()]);
        rows.push(row);
    }
    let columns = header.len();
    let text_columns = 1 + usize::from(options.has('T'));
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            let least = match at {
                0 => 14,
                _ if at < text_columns || at + 2 == columns => 4,
                _ => 5,
            };
            rows.iter().map(|row| row[at].len()).max().unwrap_or(0).max(if at + 1 == columns { 0 } else { least })
        })
        .collect();
    for row in rows {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let width = widths[at];
            if at + 1 == columns {
                line.push_str(cell);
            } else if at < text_columns {
                line.push_str(&format!("{cell:<width$} "));
            } else {
                line.push_str(&format!("{cell:>width$} "));
            }
        }
        say::line(line);
    }
}
