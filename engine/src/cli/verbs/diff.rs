//! `docker diff`: what a container changed in its file system.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print_line};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["diff", "container diff"],
    synopsis: "CONTAINER",
    about: "Inspect changes to files or directories on a container's filesystem",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    name: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let changes = session.engine()?.diff(&options.name.unwrap_or_default())?;
    changes.iter().try_for_each(print_line)?;
    Ok(SUCCESS)
}
