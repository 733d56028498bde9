//! `find`: the tests and actions that pages use, with `!`, `-a`, `-o` and parentheses.

use super::mode;
use crate::applets::Call;
use crate::say;
use crate::text::glob;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    Name(String, bool),
    Pathname(String),
    Kind(String),
    Inode(Count),
    Links(Count),
    Size(Count, u64),
    Owner(u32),
    Permissions(u32, Option<char>),
    Newer(i64, i64),
    Empty,
    Print(char),
    Printf(String),
    Exec(Vec<String>),
    Delete,
    Prune,
    Quit,
}

/// `5`, `+5` or `-5`.
struct Count {
    sign: Option<char>,
    number: u64,
}

impl Count {
    fn read(text: &str) -> Option<Count> {
        let sign = text.chars().next().filter(|c| "+-".contains(*c));
        Some(Count { sign, number: text.trim_start_matches(['+', '-']).parse().ok()? })
    }

    fn holds(&self, value: u64) -> bool {
        match self.sign {
            Some('+') => value > self.number,
            Some(_) => value < self.number,
            None => value == self.number,
        }
    }
}

#[derive(Default)]
struct Walk {
    least: usize,
    most: Option<usize>,
    depth_first: bool,
    same_device: bool,
    follow: bool,
    batches: Vec<(Vec<String>, Vec<String>)>,
    status: u8,
    stopped: bool,
}

pub fn find(call: &Call) -> u8 {
    let mut walk = Walk::default();
    let mut args: &[String] = call.args;
    while let Some(first @ ("-L" | "-H" | "-P")) = args.first().map(String::as_str) {
        walk.follow = first == "-L";
        args = &args[1..];
    }
    let starts = args.iter().position(|arg| arg.starts_with('-') || arg == "(" || arg == "!").unwrap_or(args.len());
    let (roots, expression) = args.split_at(starts);
    let mut parser = Parser { words: expression, at: 0, walk: &mut walk, acts: false };
    let parsed = parser.any().and_then(|test| match parser.peek() {
        None => Ok(test),
        Some(word) => Err(format!("paths must precede expression: `{word}'")),
    });
    let acts = parser.acts;
    let test = match parsed {
        Ok(test) if acts => test,
        Ok(test) => Test::All(vec![test, Test::Print('\n')]),
        Err(message) => {
            say::complain("find", message);
            return 1;
        }
    };
    let here = ["."].map(str::to_owned);
    for root in if roots.is_empty() { &here[..] } else { roots } {
        walk.visit(&test, Path::new(root), root, 0, None);
    }
    let batches = std::mem::take(&mut walk.batches);
    for (command, paths) in batches {
        let full: Vec<String> =
            command.iter().flat_map(|word| if word == "{}" { paths.clone() } else { vec![word.clone()] }).collect();
        walk.status |= u8::from(!run(&full));
    }
    walk.status
}

struct Parser<'a> {
    words: &'a [String],
    at: usize,
    walk: &'a mut Walk,
    acts: bool,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&str> {
        self.words.get(self.at).map(String::as_str)
    }

    fn any(&mut self) -> Result<Test, String> {
        let mut tests = vec![self.all()?];
        while let Some("-o" | "-or") = self.peek() {
            self.at += 1;
            tests.push(self.all()?);
        }
        Ok(if tests.len() == 1 { tests.remove(0) } else { Test::Any(tests) })
    }

    fn all(&mut self) -> Result<Test, String> {
        let mut tests = Vec::new();
        loop {
            match self.peek() {
                None | Some(")" | "-o" | "-or") => return Ok(Test::All(tests)),
                Some("-a" | "-and") => self.at += 1,
                Some(word) if !word.starts_with('-') && word != "(" && word != "!" => {
                    return Err(format!("paths must precede expression: `{word}'"));
                }
                Some(_) => tests.push(self.one()?),
            }
        }
    }

    fn value(&mut self, name: &str) -> Result<String, String> {
        let value = self.words.get(self.at).cloned().ok_or_else(|| format!("missing argument to `{name}'"))?;
        self.at += 1;
        Ok(value)
    }

    fn count(&mut self, name: &str) -> Result<Count, String> {
        let text = self.value(name)?;
        Count::read(&text).ok_or_else(|| format!("invalid argument `{text}' to `{name}'"))
    }

    fn one(&mut self) -> Result<Test, String> {
        let name = self.value("")?;
        let test = match name.as_str() {
            "!" | "-not" => Test::Not(Box::new(self.one()?)),
            "(" => {
                let test = self.any()?;
                match self.value("(") {
                    Ok(close) if close == ")" => test,
                    _ => return Err("invalid expression; I was expecting to find a ')' somewhere".to_owned()),
                }
            }
            "-name" => Test::Name(self.value(&name)?, false),
            "-iname" => Test::Name(self.value(&name)?, true),
            "-path" | "-wholename" => Test::Pathname(self.value(&name)?),
            "-type" => Test::Kind(self.value(&name)?),
            "-inum" => Test::Inode(self.count(&name)?),
            "-links" => Test::Links(self.count(&name)?),
            "-size" => {
                let text = self.value(&name)?;
                let (digits, unit) = match text.chars().next_back() {
                    Some('c') => (&text[..text.len() - 1], 1),
                    Some('k') => (&text[..text.len() - 1], 1 << 10),
                    Some('M') => (&text[..text.len() - 1], 1 << 20),
                    Some('G') => (&text[..text.len() - 1], 1 << 30),
                    Some('b') => (&text[..text.len() - 1], 512),
                    _ => (text.as_str(), 512),
                };
                Test::Size(Count::read(digits).ok_or_else(|| format!("invalid argument `{text}' to `-size'"))?, unit)
            }
            "-user" => {
                let user = self.value(&name)?;
                let uid = crate::account::Names::users().id(&user);
                Test::Owner(uid.ok_or_else(|| format!("invalid user name or UID argument to -user: `{user}'"))?)
            }
            "-perm" => {
                let text = self.value(&name)?;
                let sign = text.chars().next().filter(|c| "-/".contains(*c));
                let bits = mode::apply(text.trim_start_matches(['-', '/']), 0, false, 0);
                Test::Permissions(bits.ok_or_else(|| format!("invalid mode `{text}'"))?, sign)
            }
            "-newer" => {
                let path = self.value(&name)?;
                let found = std::fs::metadata(&path).map_err(|error| format!("'{path}': {}", say::reason(&error)))?;
                Test::Newer(found.mtime(), found.mtime_nsec())
            }
            "-empty" => Test::Empty,
            "-print" | "-print0" | "-printf" | "-exec" | "-delete" | "-quit" | "-ls" => return self.action(&name),
            "-prune" => Test::Prune,
            "-true" => Test::All(Vec::new()),
            "-maxdepth" | "-mindepth" => {
                let text = self.value(&name)?;
                let depth = text
                    .parse()
                    .map_err(|_| format!("Expected a positive decimal integer argument to {name}, but got '{text}'"))?;
                if name == "-maxdepth" {
                    self.walk.most = Some(depth)
                } else {
                    self.walk.least = depth
                }
                Test::All(Vec::new())
            }
            "-depth" => {
                self.walk.depth_first = true;
                Test::All(Vec::new())
            }
            "-xdev" | "-mount" => {
                self.walk.same_device = true;
                Test::All(Vec::new())
            }
            other => return Err(format!("unknown predicate `{other}'")),
        };
        Ok(test)
    }

    fn action(&mut self, name: &str) -> Result<Test, String> {
        self.acts = true;
        Ok(match name {
            "-print" => Test::Print('\n'),
            "-print0" => Test::Print('\0'),
            "-printf" => Test::Printf(self.value(name)?),
            "-ls" => Test::Exec(["ls", "-dils", "{}", ";"].map(str::to_owned).to_vec()),
            "-quit" => Test::Quit,
            "-delete" => {
                self.walk.depth_first = true;
                Test::Delete
            }
            _ => {
                let mut command = Vec::new();
                loop {
                    let word = self.value("-exec")?;
                    let ends = word == ";" || (word == "+" && command.last().is_some_and(|last| last == "{}"));
                    command.push(word);
                    if ends {
                        break;
                    }
                }
                Test::Exec(command)
            }
        })
    }
}

impl Walk {
    fn visit(&mut self, test: &Test, path: &Path, shown: &str, depth: usize, device: Option<u64>) {
        if self.stopped {
            return;
        }
        let found =
            if self.follow { path.metadata().or_else(|_| path.symlink_metadata()) } else { path.symlink_metadata() };
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                say::complain("find", format!("'{shown}': {}", say::reason(&error)));
                self.status = 1;
                return;
            }
        };
        let mut pruned = false;
        if depth >= self.least && !self.depth_first {
            self.holds(test, path, shown, depth, &found, &mut pruned);
        }
        let other_device = self.same_device && device.is_some_and(|device| device != found.dev());
        if found.is_dir() && !pruned && !other_device && self.most.is_none_or(|most| depth < most) {
            match std::fs::read_dir(path) {
                Err(error) => {
                    say::complain("find", format!("'{shown}': {}", say::reason(&error)));
                    self.status = 1;
                }
                Ok(entries) => {
                    for entry in entries.filter_map(Result::ok) {
                        let name = entry.file_name().to_string_lossy().into_owned();
                        let child =
                            if shown.ends_with('/') { format!("{shown}{name}") } else { format!("{shown}/{name}") };
                        self.visit(test, &entry.path(), &child, depth + 1, Some(found.dev()));
                    }
                }
            }
        }
        if depth >= self.least && self.depth_first {
            self.holds(test, path, shown, depth, &found, &mut pruned);
        }
    }

    fn holds(
        &mut self,
        test: &Test,
        path: &Path,
        shown: &str,
        depth: usize,
        found: &Metadata,
        pruned: &mut bool,
    ) -> bool {
        if self.stopped {
            return false;
        }
        match test {
            Test::All(tests) => tests.iter().all(|test| self.holds(test, path, shown, depth, found, pruned)),
            Test::Any(tests) => tests.iter().any(|test| self.holds(test, path, shown, depth, found, pruned)),
            Test::Not(test) => !self.holds(test, path, shown, depth, found, pruned),
            Test::Name(pattern, fold) => {
                let name = crate::applets::basename(shown);
                if *fold {
                    glob::matches(&pattern.to_lowercase(), &name.to_lowercase())
                } else {
                    glob::matches(pattern, name)
                }
            }
            Test::Pathname(pattern) => glob::matches(pattern, shown),
            Test::Kind(letters) => {
                let letter = mode::type_letter(found.file_type());
                letters.split(',').any(|kind| kind.starts_with(if letter == '-' { 'f' } else { letter }))
            }
            Test::Inode(count) => count.holds(found.ino()),
            Test::Links(count) => count.holds(found.nlink()),
            Test::Size(count, unit) => count.holds(found.size().div_ceil(*unit)),
            Test::Owner(uid) => found.uid() == *uid,
            Test::Permissions(bits, sign) => match sign {
                Some('-') => found.mode() & bits == *bits,
                Some(_) => found.mode() & bits != 0,
                None => found.mode() & 0o7777 == *bits,
            },
            Test::Newer(seconds, nanoseconds) => (found.mtime(), found.mtime_nsec()) > (*seconds, *nanoseconds),
            Test::Empty if found.is_dir() => std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()),
            Test::Empty => found.is_file() && found.size() == 0,
            Test::Print(end) => {
                say::text(format!("{shown}{end}"));
                true
            }
            Test::Printf(format) => {
                say::text(describe(format, path, shown, depth, found));
                true
            }
            Test::Exec(command) => self.exec(command, shown),
            Test::Delete => self.delete(path, shown, found),
            Test::Prune => {
                *pruned = true;
                true
            }
            Test::Quit => {
                self.stopped = true;
                true
            }
        }
    }

    fn exec(&mut self, command: &[String], shown: &str) -> bool {
        let (words, end) = command.split_at(command.len() - 1);
        if end[0] == "+" {
            match self.batches.iter_mut().find(|(batch, _)| batch == words) {
                Some((_, paths)) => paths.push(shown.to_owned()),
                None => self.batches.push((words.to_vec(), vec![shown.to_owned()])),
            }
            return true;
        }
        run(&words.iter().map(|word| word.replace("{}", shown)).collect::<Vec<_>>())
    }

    fn delete(&mut self, path: &Path, shown: &str, found: &Metadata) -> bool {
        let removed = if found.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) };
        match removed {
            Ok(()) => true,
            Err(error) => {
                say::complain("find", format!("cannot delete '{shown}': {}", say::reason(&error)));
                self.status = 1;
                false
            }
        }
    }
}

fn run(words: &[String]) -> bool {
    say::flush();
    let Some((program, args)) = words.split_first() else { return false };
    match Command::new(program).args(args).status() {
        Ok(status) => status.success(),
        Err(error) => {
            say::complain("find", format!("'{program}': {}", say::reason(&error)));
            false
        }
    }
}

fn describe(format: &str, path: &Path, shown: &str, depth: usize, found: &Metadata) -> String {
    let (format, _) = crate::text::print::escapes(format);
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('p') => text.push_str(shown),
            Some('f') => text.push_str(crate::applets::basename(shown)),
            Some('h') => {
                text.push_str(&PathBuf::from(shown).parent().map_or(String::new(), |p| p.display().to_string()))
            }
            Some('P') => text.push_str(shown.splitn(depth + 1, '/').last().unwrap_or(shown)),
            Some('i') => text.push_str(&found.ino().to_string()),
            Some('n') => text.push_str(&found.nlink().to_string()),
            Some('s') => text.push_str(&found.size().to_string()),
            Some('d') => text.push_str(&depth.to_string()),
            Some('m') => text.push_str(&format!("{:o}", found.mode() & 0o7777)),
            Some('M') => text.push_str(&mode::show(found)),
            Some('u') => text.push_str(&crate::account::Names::users().show(found.uid())),
            Some('g') => text.push_str(&crate::account::Names::groups().show(found.gid())),
            Some('y') => text.push(match mode::type_letter(found.file_type()) {
                '-' => 'f',
                letter => letter,
            }),
            Some('l') => {
                text.push_str(&std::fs::read_link(path).map_or(String::new(), |target| target.display().to_string()));
            }
            Some(other) => text.push(other),
            None => text.push('%'),
        }
    }
    text
}
