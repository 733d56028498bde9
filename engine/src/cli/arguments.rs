//! From words to options: flags as Docker's users write them, errors as Docker words them.

use clap::builder::ValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use super::messages::{FAILED, Failure, PROGRAM, REFUSED};

const HELP: &str = "help";
const EXCESS: &str = "excess";
const END_OF_OPTIONS: &str = "--";

/// How many arguments a verb takes beside its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    Any,
    None,
    Exactly(usize),
    AtLeast(usize),
    AtMost(usize),
    Between(usize, usize),
}

impl Count {
    fn allows(self, count: usize) -> bool {
        match self {
            Count::Any => true,
            Count::None => count == 0,
            Count::Exactly(wanted) => count == wanted,
            Count::AtLeast(least) => count >= least,
            Count::AtMost(most) => count <= most,
            Count::Between(least, most) => (least..=most).contains(&count),
        }
    }

    fn demand(self) -> String {
        let arguments = |count: usize| if count == 1 { "1 argument".to_owned() } else { format!("{count} arguments") };
        match self {
            Count::Any => "accepts any arguments".to_owned(),
            Count::None => "accepts no arguments".to_owned(),
            Count::Exactly(count) => format!("requires exactly {}", arguments(count)),
            Count::AtLeast(count) => format!("requires at least {}", arguments(count)),
            Count::AtMost(count) => format!("requires at most {}", arguments(count)),
            Count::Between(least, most) => format!("requires at least {least} and at most {}", arguments(most)),
        }
    }
}

/// How a verb is called: `run`, `[OPTIONS] IMAGE [COMMAND] [ARG...]`, one line about it, how many arguments.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'a> {
    pub name: &'a str,
    pub synopsis: &'a str,
    pub about: &'a str,
    pub count: Count,
}

/// What came of reading the words.
pub enum Words {
    Options(ArgMatches),
    /// The help that was asked for.
    Help(String),
}

impl Usage<'_> {
    /// Reads `words`, those after the verb, by the flags of `command`.
    pub fn read(&self, command: Command, words: &[String]) -> Result<Words, Failure> {
        let plain = self.described(command);
        let mut command = as_docker_reads(plain.clone());
        let words = with_end_of_options(&plain, words);
        let matches =
            command.try_get_matches_from_mut(&words).map_err(|error| self.misread(&command, &error, &words))?;
        if matches.get_flag(HELP) {
            return Ok(Words::Help(help(plain)));
        }
        let given: usize = command
            .get_positionals()
            .map(|arg| matches.get_raw(arg.get_id().as_str()).map_or(0, Iterator::count))
            .sum();
        if self.count.allows(given) { Ok(Words::Options(matches)) } else { Err(self.wrong_count()) }
    }

    /// `command` with its usage, its help and the flag that shows it.
    pub fn described(&self, command: Command) -> Command {
        command
            .disable_help_flag(true)
            .disable_version_flag(true)
            .override_usage(self.usage_line())
            .about(self.about.to_owned())
            .help_template("Usage:  {usage}\n\n{about}\n\nOptions:\n{options}")
            .arg(Arg::new(HELP).long(HELP).action(ArgAction::SetTrue).help("Print usage"))
    }

    fn usage_line(&self) -> String {
        format!("{} {}", self.path(), self.synopsis).trim_end().to_owned()
    }

    fn path(&self) -> String {
        format!("{PROGRAM} {}", self.name).trim_end().to_owned()
    }

    fn wrong_count(&self) -> Failure {
        let (path, demand) = (self.path(), self.count.demand());
        let text =
            format!("\"{path}\" {demand}.\nSee '{path} --help'.\n\nUsage:  {}\n\n{}", self.usage_line(), self.about);
        Failure::with_code(text, FAILED)
    }

    fn misread(&self, command: &Command, error: &clap::Error, words: &[String]) -> Failure {
        let reason = match error.kind() {
            ErrorKind::UnknownArgument => unknown_flag(&context(error, ContextKind::InvalidArg), words),
            ErrorKind::InvalidValue if context(error, ContextKind::InvalidValue).is_empty() => no_value(words),
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => bad_value(command, error),
            _ => error.to_string().trim_start_matches("error: ").trim_end().to_owned(),
        };
        Failure::with_code(format!("{reason}\nSee '{} --help'.", self.path()), REFUSED)
    }
}

/// Reads the options of a verb out of what [`Usage::read`] found.
pub fn options<T: FromArgMatches>(matches: &ArgMatches) -> Result<T, Failure> {
    T::from_arg_matches(matches).map_err(|error| Failure::with_code(error.to_string(), REFUSED))
}

/// Docker puts an empty line before its help.
fn help(mut command: Command) -> String {
    format!("\n{}\n", command.render_help().to_string().trim_end())
}

/// Flags may be repeated, switches take `=true` and `=false`, and words too many are counted rather than refused.
fn as_docker_reads(command: Command) -> Command {
    let is_switch = |arg: &Arg| matches!(arg.get_action(), ArgAction::SetTrue) && arg.get_id() != HELP;
    let takes_all = command.get_positionals().any(|arg| matches!(arg.get_action(), ArgAction::Append));
    let command =
        if takes_all { command } else { command.arg(Arg::new(EXCESS).num_args(0..).action(ArgAction::Append)) };
    command.no_binary_name(true).args_override_self(true).mut_args(|arg| match () {
        () if is_switch(&arg) => switch(arg),
        // The word after such a flag is its value, whatever it looks like.
        () if arg.get_action().takes_values() && !arg.is_positional() && !arg.is_require_equals_set() => {
            arg.allow_hyphen_values(true)
        }
        () => arg,
    })
}

/// Where a command line goes on with one of somebody else, options end at the first argument: `--` is put behind it.
fn with_end_of_options(command: &Command, words: &[String]) -> Vec<String> {
    let mut words = words.to_vec();
    if command.get_positionals().any(Arg::is_trailing_var_arg_set)
        && let Some(first) = first_argument(command, &words)
    {
        words.insert(first + 1, END_OF_OPTIONS.to_owned());
    }
    words
}

/// The place of the first word that is neither a flag nor a flag's value.
fn first_argument(command: &Command, words: &[String]) -> Option<usize> {
    let mut place = 0;
    while let Some(word) = words.get(place) {
        let takes_next = match word.strip_prefix("--") {
            Some("") => return None,
            Some(long) => !long.contains('=') && takes_value(command, |arg| has_long(arg, long)),
            None => match word.strip_prefix('-') {
                None | Some("") => return Some(place),
                Some(letters) => last_letter_takes_value(command, letters),
            },
        };
        place += if takes_next { 2 } else { 1 };
    }
    None
}

fn last_letter_takes_value(command: &Command, letters: &str) -> bool {
    let first_with_value =
        letters.chars().position(|letter| takes_value(command, |arg| arg.get_short() == Some(letter)));
    first_with_value.is_some_and(|at| at + 1 == letters.chars().count())
}

fn has_long(arg: &Arg, long: &str) -> bool {
    arg.get_long() == Some(long) || arg.get_all_aliases().is_some_and(|aliases| aliases.contains(&long))
}

fn takes_value(command: &Command, is_meant: impl Fn(&Arg) -> bool) -> bool {
    let arg = command.get_arguments().find(|arg| is_meant(arg));
    arg.is_some_and(|arg| arg.get_action().takes_values() && !arg.is_require_equals_set())
}

fn switch(arg: Arg) -> Arg {
    arg.action(ArgAction::Set)
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .default_value("false")
        .value_parser(ValueParser::new(truth))
}

/// A truth value in any of the forms Go takes.
pub fn truth(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// A whole number, with Go's words when it is none.
pub fn whole_number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

/// `KEY=VALUE` or `KEY`, where the key is a word (Docker's `ValidateLabel`).
pub fn label(text: &str) -> Result<String, String> {
    let blanks = [' ', '\t', '\n', '\r', '\u{b}', '\u{c}'];
    let key = text.split('=').next().unwrap_or_default().trim_start_matches(blanks);
    match key {
        "" => Err(format!("invalid label '{text}': empty name")),
        _ if key.contains(blanks) => Err(format!("label '{key}' contains whitespaces")),
        _ => Ok(text.to_owned()),
    }
}

/// `NAME=VALUE` or `NAME` (Docker's `ValidateEnv`).
pub fn variable(text: &str) -> Result<String, String> {
    match text.is_empty() || text.starts_with('=') {
        true => Err(format!("invalid environment variable: {text}")),
        false => Ok(text.to_owned()),
    }
}

fn unknown_flag(flag: &str, words: &[String]) -> String {
    if flag.starts_with("--") {
        return format!("unknown flag: {}", flag.split('=').next().unwrap_or(flag));
    }
    let letter = flag.chars().nth(1).unwrap_or('-');
    let cluster = words.iter().find(|word| word.starts_with('-') && !word.starts_with("--") && word.contains(letter));
    let cluster = cluster.map_or(flag, String::as_str);
    // Those before it have been read by then.
    let rest = cluster.find(letter).and_then(|at| cluster.get(at..)).unwrap_or_default();
    format!("unknown shorthand flag: '{letter}' in -{rest}")
}

fn no_value(words: &[String]) -> String {
    let last = words.last().map(String::as_str).unwrap_or_default();
    match last.strip_prefix('-') {
        Some(letters) if !letters.starts_with('-') => {
            let letter = letters.chars().last().unwrap_or_default();
            format!("flag needs an argument: '{letter}' in -{letter}")
        }
        _ => format!("flag needs an argument: {last}"),
    }
}

fn bad_value(command: &Command, error: &clap::Error) -> String {
    let value = context(error, ContextKind::InvalidValue);
    let named = context(error, ContextKind::InvalidArg);
    let long = named.trim_start_matches('-').split([' ', '=', '[']).next().unwrap_or_default();
    let short = command.get_arguments().find(|arg| arg.get_long() == Some(long)).and_then(Arg::get_short);
    let flag = short.map_or_else(|| format!("--{long}"), |short| format!("-{short}, --{long}"));
    let reason = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("invalid argument {value:?} for {flag:?} flag: {reason}")
}

fn context(error: &clap::Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, Parser};

    #[derive(Parser, Debug, PartialEq)]
    struct Options {
        #[arg(short, long)]
        detach: bool,
        #[arg(short, long)]
        interactive: bool,
        #[arg(short, long)]
        tty: bool,
        #[arg(short, long)]
        env: Vec<String>,
        #[arg(long, value_parser = whole_number, allow_hyphen_values = true)]
        time: Option<i64>,
        image: Option<String>,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    }

    const USAGE: Usage<'static> =
        Usage { name: "run", synopsis: "[OPTIONS] IMAGE", about: "Run", count: Count::AtLeast(1) };

    fn read(words: &[&str]) -> Result<Options, Failure> {
        let words: Vec<String> = words.iter().map(|word| word.to_string()).collect();
        match USAGE.read(Options::command(), &words)? {
            Words::Options(matches) => options(&matches),
            Words::Help(text) => Err(Failure::with_code(text, 0)),
        }
    }

    #[test]
    fn short_flags_may_be_joined_and_options_stop_at_the_image() {
        let options = read(&["-itd", "-eA=1", "--env", "B", "ubuntu", "ls", "-la", "--help"]).unwrap();
        assert!(options.interactive && options.tty && options.detach);
        assert_eq!(options.env, ["A=1", "B"]);
        assert_eq!(options.image.as_deref(), Some("ubuntu"));
        assert_eq!(options.command, ["ls", "-la", "--help"]);
        assert_eq!(read(&["-e", "A=1", "ubuntu", "--help", "-d"]).unwrap().command, ["--help", "-d"]);
        assert_eq!(read(&["--env=A", "ubuntu", "--", "-d"]).unwrap().command, ["--", "-d"]);
        assert_eq!(read(&["--", "ubuntu", "-d"]).unwrap().command, ["-d"]);
    }

    #[test]
    fn switches_take_a_truth_value() {
        let options = read(&["-d=false", "--tty=1", "-i", "x"]).unwrap();
        assert!(!options.detach && options.tty && options.interactive);
        let text = "invalid argument \"no\" for \"-t, --tty\" flag: strconv.ParseBool: parsing \"no\": invalid syntax";
        assert_eq!(read(&["--tty=no", "x"]).unwrap_err().text.lines().next(), Some(text));
    }

    #[test]
    fn wrong_flags_are_told_in_dockers_words() {
        let see = "\nSee 'docker run --help'.";
        let rows = [
            (vec!["--nosuchflag", "ubuntu"], "unknown flag: --nosuchflag"),
            (vec!["--nosuch=1", "ubuntu"], "unknown flag: --nosuch"),
            (vec!["-itZ", "ubuntu"], "unknown shorthand flag: 'Z' in -Z"),
            (vec!["--env"], "flag needs an argument: --env"),
            (vec!["-ite"], "flag needs an argument: 'e' in -e"),
            (
                vec!["--time", "x", "ubuntu"],
                "invalid argument \"x\" for \"--time\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
            ),
        ];
        for (words, text) in rows {
            assert_eq!(read(&words).unwrap_err(), Failure::with_code(format!("{text}{see}"), 125), "{words:?}");
        }
    }

    #[test]
    fn a_wrong_number_of_arguments_shows_the_usage() {
        let text = "\"docker run\" requires at least 1 argument.\nSee 'docker run --help'.\n\nUsage:  docker run [OPTIONS] \
                    IMAGE\n\nRun";
        assert_eq!(read(&[]).unwrap_err(), Failure::with_code(text, 1));
        let rows = [
            (Count::None, "accepts no arguments"),
            (Count::Exactly(1), "requires exactly 1 argument"),
            (Count::AtLeast(2), "requires at least 2 arguments"),
            (Count::AtMost(1), "requires at most 1 argument"),
            (Count::Between(1, 2), "requires at least 1 and at most 2 arguments"),
        ];
        for (count, demand) in rows {
            assert_eq!(count.demand(), demand);
        }
    }

    #[test]
    fn help_lists_the_options_and_ends_well() {
        let help = read(&["--help"]).unwrap_err();
        assert_eq!(help.exit_code, 0);
        assert!(help.text.starts_with("\nUsage:  docker run [OPTIONS] IMAGE\n\nRun\n\nOptions:\n"), "{}", help.text);
        assert!(help.text.contains("--detach"), "{}", help.text);
    }
}
