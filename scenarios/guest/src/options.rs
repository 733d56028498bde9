//! Command line options as GNU getopt_long reads them: clustered, permuted, abbreviated long names.

use crate::say;

/// One call's options in order of appearance, and its operands.
pub struct Options {
    given: Vec<(char, Option<String>)>,
    pub operands: Vec<String>,
}

/// What an applet accepts. `short` is getopt's string (`"ab:c"`; a leading `+` stops at the first operand, `::` marks an
/// optional value); `long` maps a long name to its letter, which need not be typeable.
pub struct Accepts<'a> {
    pub name: &'a str,
    pub short: &'a str,
    pub long: &'a [(&'a str, char)],
    /// Exit status of a wrong call.
    pub misuse: u8,
}

#[derive(Clone, Copy, PartialEq)]
enum Value {
    None,
    Required,
    Optional,
}

impl Accepts<'_> {
    fn value_of(&self, letter: char) -> Option<Value> {
        let mut chars = self.short.trim_start_matches('+').chars().peekable();
        while let Some(c) = chars.next() {
            let mut colons = 0;
            while chars.peek() == Some(&':') {
                chars.next();
                colons += 1;
            }
            if c == letter {
                return Some([Value::None, Value::Required, Value::Optional][colons.min(2)]);
            }
        }
        None
    }

    fn misused<T>(&self, message: String) -> Result<T, u8> {
        say::complain(self.name, message);
        error_line!("Try '{} --help' for more information.", self.name);
        Err(self.misuse)
    }

    /// Reads `args`; a wrong call is reported and gives the exit status.
    pub fn read(&self, args: &[String]) -> Result<Options, u8> {
        let mut options = Options { given: Vec::new(), operands: Vec::new() };
        let in_order = self.short.starts_with('+');
        let mut rest = args.iter();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                options.operands.extend(rest.cloned());
                break;
            }
            if let Some(long) = arg.strip_prefix("--") {
                self.read_long(long, &mut rest, &mut options)?;
            } else if arg.len() > 1 && arg.starts_with('-') {
                self.read_cluster(&arg[1..], &mut rest, &mut options)?;
            } else {
                options.operands.push(arg.clone());
                if in_order {
                    options.operands.extend(rest.cloned());
                    break;
                }
            }
        }
        Ok(options)
    }

    fn read_long(&self, long: &str, rest: &mut std::slice::Iter<'_, String>, options: &mut Options) -> Result<(), u8> {
        let (name, attached) = match long.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (long, None),
        };
        let exact = self.long.iter().find(|(candidate, _)| *candidate == name);
        let found: Vec<_> = self.long.iter().filter(|(candidate, _)| candidate.starts_with(name)).collect();
        let letter = match (exact, found.as_slice()) {
            (Some((_, letter)), _) => *letter,
            (None, [(_, letter)]) => *letter,
            (None, []) => return self.misused(format!("unrecognized option '--{long}'")),
            (None, _) => return self.misused(format!("option '--{name}' is ambiguous")),
        };
        let value = match (self.value_of(letter).unwrap_or(Value::None), attached) {
            (Value::None, Some(_)) => return self.misused(format!("option '--{name}' doesn't allow an argument")),
            (Value::Required, None) => match rest.next() {
                Some(value) => Some(value.clone()),
                None => return self.misused(format!("option '--{name}' requires an argument")),
            },
            (_, attached) => attached,
        };
        options.given.push((letter, value));
        Ok(())
    }

    fn read_cluster(
        &self,
        cluster: &str,
        rest: &mut std::slice::Iter<'_, String>,
        options: &mut Options,
    ) -> Result<(), u8> {
        for (at, letter) in cluster.char_indices() {
            let after = &cluster[at + letter.len_utf8()..];
            match self.value_of(letter) {
                None => return self.misused(format!("invalid option -- '{letter}'")),
                Some(Value::None) => options.given.push((letter, None)),
                Some(Value::Optional) => {
                    options.given.push((letter, (!after.is_empty()).then(|| after.to_owned())));
                    break;
                }
                Some(Value::Required) => {
                    let value = if after.is_empty() { rest.next().cloned() } else { Some(after.to_owned()) };
                    match value {
                        Some(value) => options.given.push((letter, Some(value))),
                        None => return self.misused(format!("option requires an argument -- '{letter}'")),
                    }
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Options {
    pub fn has(&self, letter: char) -> bool {
        self.given.iter().any(|(given, _)| *given == letter)
    }

    /// How often it was given.
    pub fn count(&self, letter: char) -> usize {
        self.given.iter().filter(|(given, _)| *given == letter).count()
    }

    /// The value of the last occurrence.
    pub fn value(&self, letter: char) -> Option<&str> {
        self.given.iter().rev().find(|(given, _)| *given == letter).and_then(|(_, value)| value.as_deref())
    }

    pub fn values(&self, letter: char) -> impl Iterator<Item = &str> {
        self.given.iter().filter(move |(given, _)| *given == letter).filter_map(|(_, value)| value.as_deref())
    }

    /// The one of `letters` that was given last.
    pub fn last_of(&self, letters: &str) -> Option<char> {
        self.given.iter().rev().map(|(given, _)| *given).find(|given| letters.contains(*given))
    }
}

/// Reports that an operand is missing, as GNU tools do.
pub fn missing_operand(name: &str) -> u8 {
    say::complain(name, "missing operand");
    error_line!("Try '{name} --help' for more information.");
    1
}

/// Rewrites the historical `-NUM` into `-n NUM` (head, tail, grep context).
pub fn expand_dash_number(args: &[String], letter: char) -> Vec<String> {
    const TAKE_A_VALUE: [&str; 7] = ["-n", "-c", "-A", "-B", "-C", "-m", "-e"];
    args.iter()
        .enumerate()
        .map(|(at, arg)| match arg.strip_prefix('-') {
            Some(_) if at > 0 && TAKE_A_VALUE.contains(&args[at - 1].as_str()) => arg.clone(),
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                format!("-{letter}{digits}")
            }
            _ => arg.clone(),
        })
        .collect()
}
