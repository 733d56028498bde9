//! `layerlab monitor`: the process that stays with a running container. Started by `start` and `run`, not by people.

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{FAILED, Failure, SUCCESS};
use crate::cli::session::Session;
use crate::container::monitor;

pub static VERB: Verb = Verb {
    names: &["monitor"],
    synopsis: "[CONTAINER]",
    about: "Stay with a container from its start to its end",
    arguments: Count::AtMost(1),
    hidden: true,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    id: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    // The command that starts a monitor has entered its namespaces already.
    let code = monitor::main(session.settings(), options.id);
    Ok(if code == ExitCode::SUCCESS { SUCCESS } else { FAILED })
}
