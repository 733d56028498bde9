//! `sed`: `s///`, `p`, `d`, `q`, `=`, `a`, `i`, `c`, `y` with line, `$`, regular expression and range addresses.

use super::grep::basic_to_extended;
use super::{each, lines};
use crate::applets::Call;
use crate::options::{Accepts, missing_operand};
use crate::say;
use regex::Regex;

enum Address {
    Line(usize),
    Last,
    Pattern(Regex),
}

enum Action {
    Substitute { pattern: Regex, replacement: Vec<Piece>, all: bool, which: usize, print: bool },
    Print,
    Delete,
    Quit,
    Number,
    Append(String),
    Insert(String),
    Change(String),
    Translate(Vec<char>, Vec<char>),
    Block(Vec<Command>),
}

enum Piece {
    Text(String),
    Group(usize),
}

struct Command {
    from: Option<Address>,
    to: Option<Address>,
    negated: bool,
    action: Action,
    active: std::cell::Cell<bool>,
}

pub fn sed(call: &Call) -> u8 {
    let accepts = Accepts {
        name: "sed",
        short: "e:Ef:i::nrsu",
        long: &[
            ("quiet", 'n'),
            ("silent", 'n'),
            ("expression", 'e'),
            ("file", 'f'),
            ("in-place", 'i'),
            ("regexp-extended", 'E'),
        ],
        misuse: 1,
    };
    let mut options = match accepts.read(call.args) {
        Ok(options) => options,
        Err(status) => return status,
    };
    let mut script: Vec<String> = options.values('e').map(str::to_owned).collect();
    for file in options.values('f') {
        match std::fs::read_to_string(file) {
            Ok(text) => script.push(text),
            Err(error) => {
                say::complain("sed", format!("couldn't open file {file}: {}", say::reason(&error)));
                return 1;
            }
        }
    }
    if script.is_empty() {
        if options.operands.is_empty() {
            return missing_operand("sed");
        }
        script.push(options.operands.remove(0));
    }
    let script = script.join("\n");
    let mut parser = Parser { rest: &script, extended: options.has('E') || options.has('r') };
    let commands = match parser.commands(false) {
        Ok(commands) => commands,
        Err(message) => {
            say::complain("sed", format!("-e expression #1: {message}"));
            return 1;
        }
    };
    let quiet = options.has('n');
    if options.has('i') {
        let mut status = 0;
        for operand in &options.operands {
            let mut result = String::new();
            status |= each("sed", std::slice::from_ref(operand), |_, contents| {
                result = run(&commands, &contents, quiet);
            });
            if let (0, Err(error)) = (status, replace_contents(operand, &result, options.value('i'))) {
                say::complain("sed", format!("couldn't edit {operand}: {}", say::reason(&error)));
                status = 4;
            }
        }
        return status;
    }
    let mut all = Vec::new();
    let status = each("sed", &options.operands, |_, contents| all.extend(contents));
    say::text(run(&commands, &all, quiet));
    if status == 0 { 0 } else { 2 }
}

/// Writes a new file and renames it over the old one, as GNU sed does: the inode changes.
fn replace_contents(path: &str, contents: &str, suffix: Option<&str>) -> std::io::Result<()> {
    let found = std::fs::metadata(path)?;
    if let Some(suffix) = suffix {
        std::fs::copy(path, format!("{path}{suffix}"))?;
    }
    let fresh = std::path::Path::new(path).with_file_name(format!("sed{}", std::process::id()));
    std::fs::write(&fresh, contents)?;
    crate::files::copy::preserve(&fresh, &found)?;
    rustix::fs::utimensat(
        rustix::fs::CWD,
        &fresh,
        &rustix::fs::Timestamps {
            last_access: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
            last_modification: rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        },
        rustix::fs::AtFlags::empty(),
    )?;
    std::fs::rename(&fresh, path)
}

struct Parser<'a> {
    rest: &'a str,
    extended: bool,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn commands(&mut self, inside: bool) -> Result<Vec<Command>, String> {
        let mut commands = Vec::new();
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', ';']);
            if self.rest.starts_with('#') {
                self.rest = self.rest.find('\n').map_or("", |at| &self.rest[at..]);
                continue;
            }
            if self.rest.is_empty() {
                return if inside { Err("unmatched `{'".to_owned()) } else { Ok(commands) };
            }
            if self.rest.starts_with('}') {
                self.next();
                return if inside { Ok(commands) } else { Err("unexpected `}'".to_owned()) };
            }
            let from = self.address()?;
            let to = if from.is_some() && self.rest.starts_with(',') {
                self.next();
                self.address()?
            } else {
                None
            };
            self.rest = self.rest.trim_start();
            let negated = self.rest.starts_with('!');
            if negated {
                self.next();
                self.rest = self.rest.trim_start();
            }
            let action = self.action()?;
            commands.push(Command { from, to, negated, action, active: std::cell::Cell::new(false) });
        }
    }

    fn address(&mut self) -> Result<Option<Address>, String> {
        self.rest = self.rest.trim_start_matches(' ');
        let digits = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
        if digits > 0 {
            let line = self.rest[..digits].parse().map_err(|_| "invalid line number".to_owned())?;
            self.rest = &self.rest[digits..];
            return Ok(Some(Address::Line(line)));
        }
        match self.rest.chars().next() {
            Some('$') => {
                self.next();
                Ok(Some(Address::Last))
            }
            Some('/') => {
                self.next();
                let text = self.until('/')?;
                Ok(Some(Address::Pattern(self.regex(&text, false)?)))
            }
            Some('\\') => {
                self.next();
                let end = self.next().ok_or("unterminated address regex")?;
                let text = self.until(end)?;
                Ok(Some(Address::Pattern(self.regex(&text, false)?)))
            }
            _ => Ok(None),
        }
    }

    fn regex(&self, text: &str, fold: bool) -> Result<Regex, String> {
        let pattern = if self.extended { text.to_owned() } else { basic_to_extended(text) };
        regex::RegexBuilder::new(&pattern).case_insensitive(fold).build().map_err(|error| error.to_string())
    }

    /// The text up to an unescaped delimiter.
    fn until(&mut self, end: char) -> Result<String, String> {
        let mut text = String::new();
        while let Some(c) = self.next() {
            if c == end {
                return Ok(text);
            }
            if c != '\\' {
                text.push(c);
                continue;
            }
            match self.next() {
                Some(escaped) if escaped == end => text.push(end),
                Some('n') => text.push('\n'),
                Some(escaped) => text.extend(['\\', escaped]),
                None => break,
            }
        }
        Err("unterminated `s' command or address".to_owned())
    }

    fn line(&mut self) -> String {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        let text = self.rest[..end].trim_start();
        let text = text.strip_prefix('\\').map_or(text, |text| text.trim_start_matches('\n')).to_owned();
        self.rest = &self.rest[end..];
        text
    }

    fn action(&mut self) -> Result<Action, String> {
        Ok(match self.next() {
            Some('{') => Action::Block(self.commands(true)?),
            Some('p') => Action::Print,
            Some('d') => Action::Delete,
            Some('q') => Action::Quit,
            Some('=') => Action::Number,
            Some('a') => Action::Append(self.line()),
            Some('i') => Action::Insert(self.line()),
            Some('c') => Action::Change(self.line()),
            Some('y') => {
                let end = self.next().ok_or("unterminated `y' command")?;
                let (from, to) = (self.until(end)?, self.until(end)?);
                if from.chars().count() != to.chars().count() {
                    return Err("strings for `y' command are different lengths".to_owned());
                }
                Action::Translate(from.chars().collect(), to.chars().collect())
            }
            Some('s') => {
                let end = self.next().ok_or("unterminated `s' command")?;
                let (pattern, replacement) = (self.until(end)?, self.until(end)?);
                let (mut all, mut print, mut fold, mut which) = (false, false, false, 0);
                while let Some(flag) = self.rest.chars().next().filter(|c| c.is_ascii_alphanumeric()) {
                    match flag {
                        'g' => all = true,
                        'p' => print = true,
                        'i' | 'I' => fold = true,
                        '0'..='9' => which = which * 10 + flag.to_digit(10).unwrap_or(0) as usize,
                        _ => return Err("unknown option to `s'".to_owned()),
                    }
                    self.next();
                }
                let pattern = self.regex(&pattern, fold)?;
                Action::Substitute { pattern, replacement: pieces(&replacement), all, which: which.max(1), print }
            }
            Some(other) => return Err(format!("unknown command: `{other}'")),
            None => return Err("missing command".to_owned()),
        })
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = vec![];
    let mut literal = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let group = match c {
            '&' => Some(0),
            '\\' => match chars.next() {
                Some(digit @ '0'..='9') => digit.to_digit(10).map(|digit| digit as usize),
                Some('t') => {
                    literal.push('\t');
                    None
                }
                Some(other) => {
                    literal.push(other);
                    None
                }
                None => None,
            },
            _ => {
                literal.push(c);
                None
            }
        };
        if let Some(group) = group {
            pieces.push(Piece::Text(std::mem::take(&mut literal)));
            pieces.push(Piece::Group(group));
        }
    }
    pieces.push(Piece::Text(literal));
    pieces
}

struct State {
    line: String,
    number: usize,
    last: bool,
    output: String,
    appended: String,
    deleted: bool,
    quit: bool,
}

fn run(commands: &[Command], contents: &[u8], quiet: bool) -> String {
    let all: Vec<&[u8]> = lines(contents).collect();
    let mut state = State {
        line: String::new(),
        number: 0,
        last: false,
        output: String::new(),
        appended: String::new(),
        deleted: false,
        quit: false,
    };
    for (at, line) in all.iter().enumerate() {
        state.line = String::from_utf8_lossy(line).into_owned();
        state.number = at + 1;
        state.last = at + 1 == all.len();
        state.deleted = false;
        state.apply(commands);
        if !quiet && !state.deleted {
            state.output.push_str(&state.line);
            if !state.last || contents.ends_with(b"\n") {
                state.output.push('\n');
            }
        }
        let appended = std::mem::take(&mut state.appended);
        state.output.push_str(&appended);
        if state.quit {
            break;
        }
    }
    state.output
}

impl State {
    fn at(&self, address: &Address) -> bool {
        match address {
            Address::Line(line) => self.number == *line,
            Address::Last => self.last,
            Address::Pattern(pattern) => pattern.is_match(&self.line),
        }
    }

    fn selects(&self, command: &Command) -> bool {
        let selected = match (&command.from, &command.to) {
            (None, _) => true,
            (Some(from), None) => self.at(from),
            (Some(from), Some(to)) => {
                if command.active.get() {
                    let ends = match to {
                        Address::Line(line) => self.number >= *line,
                        other => self.at(other),
                    };
                    command.active.set(!ends);
                    true
                } else if self.at(from) {
                    command.active.set(!matches!(to, Address::Line(line) if *line <= self.number));
                    true
                } else {
                    false
                }
            }
        };
        selected != command.negated
    }

    fn apply(&mut self, commands: &[Command]) {
        for command in commands {
            if self.deleted || self.quit {
                return;
            }
            if !self.selects(command) {
                continue;
            }
            match &command.action {
                Action::Print => self.output.push_str(&format!("{}\n", self.line)),
                Action::Delete => self.deleted = true,
                Action::Quit => self.quit = true,
                Action::Number => self.output.push_str(&format!("{}\n", self.number)),
                Action::Append(text) => self.appended.push_str(&format!("{text}\n")),
                Action::Insert(text) => self.output.push_str(&format!("{text}\n")),
                Action::Change(text) => {
                    if !command.active.get() {
                        self.output.push_str(&format!("{text}\n"));
                    }
                    self.deleted = true;
                }
                Action::Translate(from, to) => {
                    self.line = self
                        .line
                        .chars()
                        .map(|c| from.iter().position(|candidate| *candidate == c).map_or(c, |at| to[at]))
                        .collect();
                }
                Action::Block(inner) => self.apply(inner),
                Action::Substitute { pattern, replacement, all, which, print } => {
                    if let Some(changed) = substitute(&self.line, pattern, replacement, *all, *which) {
                        self.line = changed;
                        if *print {
                            self.output.push_str(&format!("{}\n", self.line));
                        }
                    }
                }
            }
        }
    }
}

fn substitute(line: &str, pattern: &Regex, replacement: &[Piece], all: bool, which: usize) -> Option<String> {
    let (mut result, mut copied, mut changed) = (String::new(), 0, false);
    for (at, captures) in pattern.captures_iter(line).enumerate() {
        if at + 1 < which {
            continue;
        }
        let Some(whole) = captures.get(0) else { continue };
        result.push_str(&line[copied..whole.start()]);
        for piece in replacement {
            match piece {
                Piece::Text(text) => result.push_str(text),
                Piece::Group(group) => result.push_str(captures.get(*group).map_or("", |found| found.as_str())),
            }
        }
        copied = whole.end();
        changed = true;
        if !all {
            break;
        }
    }
    result.push_str(&line[copied..]);
    changed.then_some(result)
}
