//! `grep`, with contexts, counts and recursion; patterns run on the `regex` crate.

use super::open;
use crate::applets::Call;
use crate::options::{Accepts, Options, expand_dash_number};
use crate::say;
use regex::bytes::{Regex, RegexBuilder};
use std::io::{BufRead as _, BufReader};
use std::path::Path;

struct Search {
    options: Options,
    pattern: Regex,
    titles: bool,
    before: usize,
    after: usize,
    found: bool,
    failed: bool,
    printed: bool,
}

pub fn grep(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "grep",
        short: "A:B:C:EFGHLPRace:f:hilm:noqrsvwxz",
        long: &[
            ("after-context", 'A'),
            ("before-context", 'B'),
            ("context", 'C'),
            ("extended-regexp", 'E'),
            ("fixed-strings", 'F'),
            ("ignore-case", 'i'),
            ("invert-match", 'v'),
            ("line-number", 'n'),
            ("recursive", 'r'),
            ("quiet", 'q'),
            ("silent", 'q'),
            ("count", 'c'),
            ("only-matching", 'o'),
            ("word-regexp", 'w'),
            ("line-regexp", 'x'),
            ("files-with-matches", 'l'),
            ("files-without-match", 'L'),
            ("no-messages", 's'),
            ("no-filename", 'h'),
            ("with-filename", 'H'),
            ("max-count", 'm'),
            ("regexp", 'e'),
            ("file", 'f'),
            ("text", 'a'),
        ],
        misuse: 2,
    };
    let args: Vec<String> =
        expand_dash_number(call.args, 'C').into_iter().filter(|arg| !arg.starts_with("--colo")).collect();
    let mut options = match accepts.read(&args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut patterns: Vec<String> = options.values('e').map(str::to_owned).collect();
    for file in options.values('f') {
        match std::fs::read_to_string(file) {
            Ok(text) => patterns.extend(text.lines().map(str::to_owned)),
            Err(error) => {
                say::complain("grep", format!("{file}: {}", say::reason(&error)));
                return 2;
            }
        }
    }
    if patterns.is_empty() {
        if options.operands.is_empty() {
            error_line!("Usage: grep [OPTION]... PATTERNS [FILE]...\nTry 'grep --help' for more information.");
            return 2;
        }
        patterns = options.operands.remove(0).split('\n').map(str::to_owned).collect();
    }
    let extended = call.name == "egrep" || options.has('E') || options.has('P');
    let pattern = match compile(&patterns, &options, call.name == "fgrep" || options.has('F'), extended) {
        Ok(pattern) => pattern,
        Err(error) => {
            say::complain("grep", format!("Invalid regular expression: {error}"));
            return 2;
        }
    };
    let context = |letter| options.value(letter).or(options.value('C')).and_then(|text| text.parse().ok()).unwrap_or(0);
    let (before, after) = (context('B'), context('A'));
    let recursive = options.has('r') || options.has('R');
    let mut operands = options.operands.clone();
    if operands.is_empty() {
        operands.push(if recursive { "." } else { "-" }.to_owned());
    }
    let titles = options.has('H') || (!options.has('h') && (recursive || operands.len() > 1));
    let bare = recursive && options.operands.is_empty();
    let mut search = Search { options, pattern, titles, before, after, found: false, failed: false, printed: false };
    for operand in &operands {
        search.path(operand, recursive, bare);
        if search.found && search.options.has('q') {
            return 0;
        }
    }
    match (search.found, search.failed) {
        (_, true) => 2,
        (true, false) => 0,
        (false, false) => 1,
    }
}

fn compile(patterns: &[String], options: &Options, fixed: bool, extended: bool) -> Result<Regex, regex::Error> {
    let parts: Vec<String> = patterns
        .iter()
        .map(|pattern| {
            if fixed {
                regex::escape(pattern)
            } else if extended {
                posix_classes(pattern)
            } else {
                basic_to_extended(pattern)
            }
        })
        .map(|pattern| format!("(?:{pattern})"))
        .collect();
    let mut joined = parts.join("|");
    if options.has('x') {
        joined = format!("^(?:{joined})$");
    } else if options.has('w') {
        joined = format!(r"\b(?:{joined})\b");
    }
    RegexBuilder::new(&joined)
        .case_insensitive(options.has('i'))
        .unicode(false)
        .build()
        .or_else(|_| RegexBuilder::new(&joined).case_insensitive(options.has('i')).build())
}

/// `\<` and `\>` are word boundaries in GNU's extended expressions too.
fn posix_classes(pattern: &str) -> String {
    pattern.replace(r"\<", r"\b").replace(r"\>", r"\b")
}

/// A POSIX basic regular expression in extended syntax: `\(`, `\|`, `\{` trade places with their bare forms.
pub fn basic_to_extended(pattern: &str) -> String {
    let mut result = String::new();
    let mut chars = pattern.chars().peekable();
    let mut start = true;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(grouping @ ('(' | ')' | '{' | '}' | '|' | '+' | '?')) => {
                    result.push(grouping);
                    start = matches!(grouping, '(' | '|');
                    continue;
                }
                Some('<' | '>') => result.push_str(r"\b"),
                Some(other) => {
                    result.push('\\');
                    result.push(other);
                }
                None => result.push_str(r"\\"),
            },
            '(' | ')' | '{' | '}' | '|' | '+' | '?' => {
                result.push('\\');
                result.push(c);
            }
            '*' if start => result.push_str(r"\*"),
            '^' if !start => result.push_str(r"\^"),
            '$' if chars.peek().is_some_and(|next| *next != '\\') => result.push_str(r"\$"),
            '[' => bracket(&mut result, &mut chars),
            _ => result.push(c),
        }
        start = start && c == '^';
    }
    result
}

/// Copies a bracket expression, in which a backslash and `[` mean themselves.
fn bracket(result: &mut String, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    result.push('[');
    if let Some(caret) = chars.next_if_eq(&'^') {
        result.push(caret);
    }
    if chars.next_if_eq(&']').is_some() {
        result.push_str(r"\]");
    }
    while let Some(c) = chars.next() {
        match c {
            '[' if chars.peek() == Some(&':') => {
                result.push('[');
                for inner in chars.by_ref() {
                    result.push(inner);
                    if inner == ']' {
                        break;
                    }
                }
            }
            '[' => result.push_str(r"\["),
            '\\' => result.push_str(r"\\"),
            '&' | '~' => {
                result.push('\\');
                result.push(c);
            }
            _ => result.push(c),
        }
        if c == ']' {
            return;
        }
    }
}

impl Search {
    fn fail(&mut self, shown: &str, reason: &str) {
        if !self.options.has('s') {
            say::complain("grep", format!("{shown}: {reason}"));
        }
        self.failed = true;
    }

    fn path(&mut self, operand: &str, recursive: bool, bare: bool) {
        let path = Path::new(operand);
        if operand != "-" && path.is_dir() {
            if !recursive {
                self.fail(operand, "Is a directory");
                return;
            }
            let mut names: Vec<_> = match std::fs::read_dir(path) {
                Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.file_name()).collect(),
                Err(error) => return self.fail(operand, &say::reason(&error)),
            };
            names.sort();
            for name in names {
                let name = name.to_string_lossy();
                let child = if bare && operand == "." {
                    name.into_owned()
                } else {
                    format!("{}/{name}", operand.trim_end_matches('/'))
                };
                let found = Path::new(&child).symlink_metadata();
                if found.is_ok_and(|found| found.is_dir() || found.is_file()) {
                    self.path(&child, true, false);
                }
            }
            return;
        }
        if let Err(error) = self.file(operand) {
            self.fail(operand, &say::reason(&error));
        }
    }

    fn file(&mut self, operand: &str) -> std::io::Result<()> {
        let mut reader = BufReader::new(open(operand)?);
        let shown = if operand == "-" { "(standard input)" } else { operand };
        let most: usize = self.options.value('m').and_then(|text| text.parse().ok()).unwrap_or(usize::MAX);
        let (invert, listing) = (self.options.has('v'), self.options.has('l') || self.options.has('L'));
        let quiet = self.options.has('q') || listing || self.options.has('c');
        let (mut number, mut count, mut last_printed, mut owed) = (0usize, 0usize, 0usize, 0usize);
        let mut held: std::collections::VecDeque<(usize, Vec<u8>)> = std::collections::VecDeque::new();
        let mut line = Vec::new();
        loop {
            line.clear();
            if reader.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            number += 1;
            if line.last() == Some(&b'\n') {
                line.pop();
            }
            let matched = count < most && self.pattern.is_match(&line) != invert;
            if matched {
                count += 1;
                self.found = true;
                if self.options.has('q') || self.options.has('l') {
                    break;
                }
                if quiet {
                    continue;
                }
                let first = held.front().map_or(number, |(at, _)| *at);
                let gap = if last_printed > 0 { first > last_printed + 1 } else { self.printed };
                if (self.before > 0 || self.after > 0) && gap {
                    say::line("--");
                }
                for (at, text) in held.drain(..) {
                    self.print(shown, at, '-', &text);
                }
                self.matched(shown, number, &line);
                self.printed = true;
                (last_printed, owed) = (number, self.after);
                if operand == "-" {
                    say::flush();
                }
            } else if owed > 0 && !quiet {
                self.print(shown, number, '-', &line);
                (last_printed, owed) = (number, owed - 1);
            } else if self.before > 0 {
                held.push_back((number, line.clone()));
                if held.len() > self.before {
                    held.pop_front();
                }
            }
            if count >= most && owed == 0 {
                break;
            }
        }
        if self.options.has('c') && !listing {
            let title = if self.titles { format!("{shown}:") } else { String::new() };
            say::line(format!("{title}{count}"));
        }
        if (self.options.has('l') && count > 0) || (self.options.has('L') && count == 0) {
            say::line(shown);
        }
        Ok(())
    }

    fn matched(&self, shown: &str, number: usize, line: &[u8]) {
        if !self.options.has('o') {
            return self.print(shown, number, ':', line);
        }
        if !self.options.has('v') {
            for part in self.pattern.find_iter(line).filter(|part| !part.is_empty()) {
                self.print(shown, number, ':', part.as_bytes());
            }
        }
    }

    fn print(&self, shown: &str, number: usize, separator: char, line: &[u8]) {
        if self.options.has('o') && separator == '-' {
            return;
        }
        if self.titles {
            say::text(format!("{shown}{separator}"));
        }
        if self.options.has('n') {
            say::text(format!("{number}{separator}"));
        }
        say::bytes(line);
        say::bytes(b"\n");
    }
}
