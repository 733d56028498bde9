//! The docker-compatible command line: one file per verb.
//!
//! *Why*: people, scripts and pages speak to us as to `docker`; a word or a blank that differs is a page that fails.
//! *Holds*: output, errors and exit codes are those of Docker's CLI 20.10, but for IDs, times and sizes; Docker's own
//! sentences stand in `messages`, or beside the verb that alone says them. *Never*: touches disk, network or namespaces
//! other than through the engine. *Proved by*: `engine/tests/cli.rs`, the tests here, and the replayed pages.

mod arguments;
mod copy_paths;
mod filters;
mod glob;
mod image_filter;
mod inspection;
mod listing;
mod logging;
mod messages;
mod mounts;
mod output;
mod ports;
pub mod progress;
mod pruning;
mod ps_filter;
mod pulling;
mod pushing;
mod run_options;
mod session;
mod table;
mod template;
mod tree;
mod trust;
mod units;
mod verbs;
mod volume_filter;

use std::env;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Count, Usage, Words};
use messages::{Failure, PROGRAM, REFUSED, SUCCESS};

use crate::sys::process;
use session::{GlobalOptions, Session, Surroundings};
use verbs::Verb;

/// What Docker says of a letter that once asked for help.
const H_DEPRECATED: &str = "Flag shorthand -h has been deprecated, please use --help";

/// What is said of the whole.
const ABOUT: &str = "A laboratory for container storage: a minimal but real engine with Docker's words";

/// The words before the verb, the verb, and those after it.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    global: GlobalOptions,
    /// Print version information and quit
    #[arg(short, long)]
    version: bool,
    verb: Option<String>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Carries out the process's arguments.
pub fn main() -> ExitCode {
    let words: Vec<String> = env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    logging::start();
    tracing::debug!(?words, "command");
    if let Err(error) = process::keep_files_from_children() {
        tracing::warn!(%error, "files that are open here stay open in containers");
    }
    if let Err(error) = process::raise_file_limit() {
        tracing::warn!(%error, "very deep trees may not be handled");
    }
    match dispatch(&words) {
        Ok(code) => code.into(),
        Err(failure) => {
            if !failure.text.is_empty() {
                eprintln!("{}", failure.text);
            }
            failure.exit_code.into()
        }
    }
}

fn dispatch(words: &[String]) -> Result<u8, Failure> {
    if words == ["-h"] {
        messages::print_line(H_DEPRECATED)?;
        return dispatch(&["--help".to_owned()]);
    }
    let usage = Usage { name: "", synopsis: "[OPTIONS] COMMAND", about: ABOUT, count: Count::Any };
    let line: CommandLine = match usage.read(CommandLine::command(), words)? {
        Words::Options(matches) => arguments::options(&matches)?,
        Words::Help(help) => return messages::print(&(help + &verbs::overview(None))).map(|()| SUCCESS),
    };
    if line.version {
        return messages::print_line(format_args!("layerlab version {}", env!("CARGO_PKG_VERSION"))).map(|()| SUCCESS);
    }
    let Some(verb) = line.verb else { return Err(Failure::with_code(verbs::group_help(None, ABOUT), SUCCESS)) };
    if verb == "help" {
        return help_about(&line.words);
    }
    if let Some(group) = verbs::group(&verb) {
        return dispatch_in_group(group, &line.words, line.global);
    }
    match verbs::find(&verb) {
        Some((name, verb)) => carry_out(name, verb, &line.words, line.global),
        None => Err(messages::unknown_verb(&verb)),
    }
}

fn dispatch_in_group(group: &str, words: &[String], global: GlobalOptions) -> Result<u8, Failure> {
    let Some((word, rest)) = words.split_first() else {
        return Err(Failure::with_code(verbs::group_help(Some(group), ""), SUCCESS));
    };
    if let Some((name, verb)) = verbs::find(&format!("{group} {word}")) {
        return carry_out(name, verb, rest, global);
    }
    let help = verbs::group_help(Some(group), "");
    match word.as_str() {
        "--help" => messages::print_line(&help).map(|()| SUCCESS),
        "-h" => messages::print_line(format_args!("{H_DEPRECATED}\n{help}")).map(|()| SUCCESS),
        flag if flag.starts_with("--") => {
            let flag = flag.split('=').next().unwrap_or(flag);
            Err(Failure::with_code(format!("unknown flag: {flag}\nSee '{PROGRAM} {group} --help'.\n{help}\n"), REFUSED))
        }
        _ => Err(Failure::new(help)),
    }
}

/// `docker help image ls` is `docker image ls --help`.
fn help_about(words: &[String]) -> Result<u8, Failure> {
    let mut asked = words.to_vec();
    asked.push("--help".to_owned());
    let is_known = match words {
        [] => true,
        [group] if verbs::group(group).is_some() => true,
        [group, verb, ..] if verbs::group(group).is_some() => verbs::find(&format!("{group} {verb}")).is_some(),
        [verb, ..] => verbs::find(verb).is_some(),
    };
    if is_known { dispatch(&asked) } else { Err(Failure::new(format!("unknown help topic: {}", words.join(" ")))) }
}

fn carry_out(name: &str, verb: &Verb, words: &[String], global: GlobalOptions) -> Result<u8, Failure> {
    let usage = Usage { name, synopsis: verb.synopsis, about: verb.about, count: verb.arguments };
    match usage.read((verb.command)(), words)? {
        Words::Help(help) => messages::print(&help).map(|()| SUCCESS),
        Words::Options(matches) => {
            let is_root = nix::unistd::geteuid().is_root();
            let variable = |name: &str| env::var_os(name);
            let session = Session::new(global, &Surroundings { is_root, variable: &variable })?;
            (verb.run)(&session, &matches)
        }
    }
}
