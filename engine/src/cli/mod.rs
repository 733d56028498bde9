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
mod units;
mod verbs;
mod volume_filter;

use std::env;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Count, Usage, Words};
use messages::{FAILED, Failure, SUCCESS};

use crate::sys::process;
use session::{GlobalOptions, Session, Surroundings};
use verbs::Verb;

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
    let usage = Usage { name: "", synopsis: "[OPTIONS] COMMAND", about: ABOUT, count: Count::Any };
    let line: CommandLine = match usage.read(CommandLine::command(), words)? {
        Words::Options(matches) => arguments::options(&matches)?,
        Words::Help(help) => return messages::print(&(help + &verbs::overview(None))).map(|()| SUCCESS),
    };
    if line.version {
        return messages::print_line(format_args!("layerlab version {}", env!("CARGO_PKG_VERSION"))).map(|()| SUCCESS);
    }
    let Some(verb) = line.verb else {
        return Err(Failure::with_code(
            format!("\nUsage:  docker [OPTIONS] COMMAND\n\n{ABOUT}\n{}", verbs::overview(None)),
            SUCCESS,
        ));
    };
    if let Some(group) = verbs::group(&verb) {
        return dispatch_in_group(group, &line.words, line.global);
    }
    match verbs::find(&verb) {
        Some((name, verb)) => carry_out(name, verb, &line.words, line.global),
        None => Err(messages::unknown_verb(&verb)),
    }
}

fn dispatch_in_group(group: &str, words: &[String], global: GlobalOptions) -> Result<u8, Failure> {
    let found = words.split_first().and_then(|(verb, rest)| Some((verbs::find(&format!("{group} {verb}"))?, rest)));
    match found {
        Some(((name, verb), rest)) => carry_out(name, verb, rest, global),
        None => {
            let help = format!("\nUsage:  docker {group} COMMAND\n\nManage {group}s\n{}", verbs::overview(Some(group)));
            let asked = words.is_empty() || words.iter().any(|word| word == "--help");
            Err(Failure::with_code(help, if asked { SUCCESS } else { FAILED }))
        }
    }
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
