//! `ls`: columns on a terminal, one name per line elsewhere, and the long format.

use super::mode;
use crate::account::Names;
use crate::applets::Call;
use crate::clock::Instant;
use crate::options::{Accepts, Options};
use crate::say;
use std::fs::Metadata;
use std::io::IsTerminal as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

struct Entry {
    name: String,
    path: PathBuf,
    found: Metadata,
}

struct Listing {
    options: Options,
    users: Names,
    groups: Names,
    terminal: bool,
    width: usize,
    status: u8,
    sections: usize,
}

pub fn ls(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "ls",
        short: "aAlld1hinRtrSFpLHgGoCxUsZkcuNvX:w:",
        long: &[
            ("all", 'a'),
            ("almost-all", 'A'),
            ("directory", 'd'),
            ("human-readable", 'h'),
            ("inode", 'i'),
            ("numeric-uid-gid", 'n'),
            ("recursive", 'R'),
            ("reverse", 'r'),
            ("classify", 'F'),
            ("size", 's'),
            ("dereference", 'L'),
            ("no-group", 'G'),
            ("color", 'Z'),
            ("full-time", 'T'),
        ],
        misuse: 2,
    };
    // Colour is accepted and never produced.
    let args: Vec<String> = call.args.iter().filter(|arg| !arg.starts_with("--color")).cloned().collect();
    let options = match accepts.read(&args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let terminal = std::io::stdout().is_terminal();
    let mut listing = Listing {
        terminal,
        width: width(&options),
        users: Names::users(),
        groups: Names::groups(),
        status: 0,
        sections: 0,
        options,
    };
    listing.run();
    listing.status
}

fn width(options: &Options) -> usize {
    if let Some(width) = options.value('w').and_then(|text| text.parse().ok()) {
        return width;
    }
    if let Some(columns) = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()) {
        return columns;
    }
    rustix::termios::tcgetwinsize(std::io::stdout()).map_or(80, |size| match size.ws_col {
        0 => 80,
        columns => usize::from(columns),
    })
}

impl Listing {
    fn has(&self, letter: char) -> bool {
        self.options.has(letter)
    }

    fn long(&self) -> bool {
        "lngo".chars().any(|letter| self.has(letter))
    }

    fn run(&mut self) {
        let mut operands = self.options.operands.clone();
        if operands.is_empty() {
            operands.push(".".to_owned());
        }
        let (mut files, mut directories) = (Vec::new(), Vec::new());
        let several = operands.len() > 1;
        for operand in operands {
            let path = PathBuf::from(&operand);
            match self.look(&path, !self.long() && !self.has('d')) {
                Err(error) => {
                    say::complain("ls", format!("cannot access '{operand}': {}", say::reason(&error)));
                    self.status = 2;
                }
                Ok(found) => {
                    let is_dir = found.is_dir() && !self.has('d');
                    let entry = Entry { name: operand, path, found };
                    if is_dir { directories.push(entry) } else { files.push(entry) }
                }
            }
        }
        self.sort(&mut files);
        self.sort(&mut directories);
        if !files.is_empty() {
            self.print(&files);
            self.sections += 1;
        }
        for directory in directories {
            self.directory(&directory.name, &directory.path, several);
        }
    }

    fn look(&self, path: &Path, follow: bool) -> std::io::Result<Metadata> {
        if (follow || self.has('L') || self.has('H'))
            && let Ok(found) = std::fs::metadata(path)
        {
            return Ok(found);
        }
        std::fs::symlink_metadata(path)
    }

    fn directory(&mut self, name: &str, path: &Path, titled: bool) {
        let entries = match std::fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) => {
                say::complain("ls", format!("cannot open directory '{name}': {}", say::reason(&error)));
                self.status = self.status.max(if self.sections == 0 && !titled { 2 } else { 1 });
                return;
            }
        };
        if self.sections > 0 {
            say::line("");
        }
        self.sections += 1;
        if titled || self.has('R') {
            say::line(format!("{name}:"));
        }
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| self.has('a') || self.has('A') || !name.starts_with('.'))
            .collect();
        if self.has('a') {
            names.extend([".".to_owned(), "..".to_owned()]);
        }
        let mut found = Vec::new();
        for child in names {
            let path = path.join(&child);
            match self.look(&path, false) {
                Ok(metadata) => found.push(Entry { name: child, path, found: metadata }),
                Err(error) => {
                    say::complain("ls", format!("cannot access '{}': {}", path.display(), say::reason(&error)));
                    self.status = self.status.max(1);
                }
            }
        }
        self.sort(&mut found);
        if self.long() || self.has('s') {
            let blocks: u64 = found.iter().map(|entry| entry.found.blocks()).sum::<u64>() / 2;
            let total = if self.has('h') { human(blocks * 1024) } else { blocks.to_string() };
            say::line(format!("total {total}"));
        }
        self.print(&found);
        if self.has('R') {
            for entry in found {
                if entry.found.is_dir() && entry.name != "." && entry.name != ".." {
                    let title = format!("{}/{}", name.trim_end_matches('/'), entry.name);
                    self.directory(&title, &entry.path, true);
                }
            }
        }
    }

    fn sort(&self, entries: &mut [Entry]) {
        if self.has('U') {
            return;
        }
        entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        match self.options.last_of("tS") {
            Some('t') => {
                entries.sort_by_key(|entry| std::cmp::Reverse((entry.found.mtime(), entry.found.mtime_nsec())))
            }
            Some('S') => entries.sort_by_key(|entry| std::cmp::Reverse(entry.found.size())),
            _ => {}
        }
        if self.has('r') {
            entries.reverse();
        }
    }

    fn print(&self, entries: &[Entry]) {
        if self.long() {
            return self.print_long(entries);
        }
        let quoting = self.terminal && entries.iter().any(|entry| needs_quotes(&entry.name));
        let shown: Vec<String> = entries.iter().map(|entry| self.short(entry, entries, quoting)).collect();
        match self.options.last_of("1Cx") {
            Some('C' | 'x') => columns(&shown, self.width),
            None if self.terminal => columns(&shown, self.width),
            _ => shown.iter().for_each(say::line),
        }
    }

    fn short(&self, entry: &Entry, all: &[Entry], quoting: bool) -> String {
        let mut text = String::new();
        if self.has('i') {
            let digits = all.iter().map(|other| other.found.ino().to_string().len()).max().unwrap_or(0);
            text.push_str(&format!("{:>digits$} ", entry.found.ino()));
        }
        if self.has('s') {
            let digits = all.iter().map(|other| (other.found.blocks() / 2).to_string().len()).max().unwrap_or(0);
            text.push_str(&format!("{:>digits$} ", entry.found.blocks() / 2));
        }
        text + &self.shown_name(entry, quoting)
    }

    fn shown_name(&self, entry: &Entry, quoting: bool) -> String {
        let mut name = match (quoting, needs_quotes(&entry.name)) {
            (true, true) => quote(&entry.name),
            (true, false) => format!(" {}", entry.name),
            (false, _) => entry.name.clone(),
        };
        if self.has('F') || (self.has('p') && entry.found.is_dir()) {
            match mode::type_letter(entry.found.file_type()) {
                'd' => name.push('/'),
                'l' if !self.long() => name.push('@'),
                'p' => name.push('|'),
                's' => name.push('='),
                '-' if entry.found.mode() & 0o111 != 0 => name.push('*'),
                _ => {}
            }
        }
        name
    }

    fn print_long(&self, entries: &[Entry]) {
        let mut rows: Vec<Vec<String>> = entries.iter().map(|entry| self.long_fields(entry)).collect();
        align_devices(&mut rows);
        let columns = rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> =
            (0..columns).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
        let quoting = self.terminal && entries.iter().any(|entry| needs_quotes(&entry.name));
        let left = |at: usize| {
            let first = usize::from(self.has('i')) + usize::from(self.has('s'));
            at == first || (at > first + 1 && at < columns - 2 && !self.has('n'))
        };
        for (row, entry) in rows.iter().zip(entries) {
            let mut line = String::new();
            for (at, field) in row.iter().enumerate() {
                let width = widths[at];
                line.push_str(&if left(at) { format!("{field:<width$} ") } else { format!("{field:>width$} ") });
            }
            line.push_str(&self.shown_name(entry, quoting));
            if entry.found.file_type().is_symlink()
                && let Ok(target) = std::fs::read_link(&entry.path)
            {
                line.push_str(&format!(" -> {}", target.display()));
            }
            say::line(line);
        }
    }

    fn long_fields(&self, entry: &Entry) -> Vec<String> {
        let found = &entry.found;
        let mut fields = Vec::new();
        if self.has('i') {
            fields.push(found.ino().to_string());
        }
        if self.has('s') {
            fields.push((found.blocks() / 2).to_string());
        }
        fields.push(mode::show(found));
        fields.push(found.nlink().to_string());
        let numeric = self.has('n');
        if !self.has('g') {
            fields.push(if numeric { found.uid().to_string() } else { self.users.show(found.uid()) });
        }
        if !self.has('o') && !self.has('G') {
            fields.push(if numeric { found.gid().to_string() } else { self.groups.show(found.gid()) });
        }
        fields.push(match mode::type_letter(found.file_type()) {
            'c' | 'b' => format!("{},{}", rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev())),

            _ if self.has('h') => human(found.size()),
            _ => found.size().to_string(),
        });
        let nanoseconds = u32::try_from(found.mtime_nsec()).unwrap_or(0);
        let changed = Instant { seconds: found.mtime(), nanoseconds };
        fields.push(if self.has('T') { changed.full() } else { changed.listed() });
        fields
    }
}

/// Writes `MAJOR,MINOR` in the size column as two aligned numbers.
fn align_devices(rows: &mut [Vec<String>]) {
    let Some(column) = rows.first().map(|row| row.len() - 2) else { return };
    let numbers: Vec<Option<(String, String)>> = rows
        .iter()
        .map(|row| row[column].split_once(',').map(|(major, minor)| (major.to_owned(), minor.to_owned())))
        .collect();
    let majors = numbers.iter().flatten().map(|(major, _)| major.len()).max().unwrap_or(0);
    let minors = numbers.iter().flatten().map(|(_, minor)| minor.len()).max().unwrap_or(0);
    for (row, number) in rows.iter_mut().zip(numbers) {
        if let Some((major, minor)) = number {
            row[column] = format!("{major:>majors$}, {minor:>minors$}");
        }
    }
}

fn needs_quotes(name: &str) -> bool {
    name.is_empty()
        || name.chars().any(|c| c.is_whitespace() || c.is_control() || "'\"\\$`!*?[]()&;<>|{}^=".contains(c))
        || name.starts_with(['#', '~'])
}

fn quote(name: &str) -> String {
    if name.contains('\'') && !name.contains(['"', '$', '`', '\\', '!']) {
        format!("\"{name}\"")
    } else {
        format!("'{}'", name.replace('\'', r"'\''"))
    }
}

/// GNU's column layout: filled downwards, two blanks apart, as many columns as fit.
fn columns(names: &[String], width: usize) {
    if names.is_empty() {
        return;
    }
    let lengths: Vec<usize> = names.iter().map(|name| name.chars().count()).collect();
    let most = (width / 3).clamp(1, names.len());
    for count in (1..=most).rev() {
        let rows = names.len().div_ceil(count);
        let widths: Vec<usize> = (0..names.len().div_ceil(rows))
            .map(|column| {
                let start = column * rows;
                let end = (start + rows).min(names.len());
                let gap = if end == names.len() { 0 } else { 2 };
                lengths[start..end].iter().max().copied().unwrap_or(0) + gap
            })
            .collect();
        let fits = widths.iter().sum::<usize>() < width && widths.len() == count;
        if !fits && count > 1 {
            continue;
        }
        for row in 0..rows {
            let (mut line, mut position) = (String::new(), 0);
            for (column, column_width) in widths.iter().enumerate() {
                let Some(name) = names.get(column * rows + row) else { break };
                line.push_str(name);
                if names.get((column + 1) * rows + row).is_some() {
                    indent(&mut line, position + lengths[column * rows + row], position + column_width);
                }
                position += column_width;
            }
            say::line(line);
        }
        return;
    }
}

/// Fills up to a column with tabs where they reach, as GNU does.
fn indent(line: &mut String, mut from: usize, to: usize) {
    const TAB: usize = 8;
    while from < to {
        if to / TAB > (from + 1) / TAB {
            line.push('\t');
            from += TAB - from % TAB;
        } else {
            line.push(' ');
            from += 1;
        }
    }
}

/// `4.0K`, `1.5M`: powers of 1024, rounded up, one digit below ten.
pub fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let (mut divisor, mut unit) = (1024u64, 0);
    while bytes.div_ceil(divisor) >= 1024 && unit < 5 {
        divisor *= 1024;
        unit += 1;
    }
    let letter = ["K", "M", "G", "T", "P", "E"][unit];
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(divisor));
    if tenths < 100 {
        format!("{}.{}{letter}", tenths / 10, tenths % 10)
    } else {
        format!("{}{letter}", bytes.div_ceil(divisor))
    }
}
