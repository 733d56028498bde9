//! `docker diff`: what a container changed in its file system.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print};
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
    // At once: a line on its own is a system call.
    print(&changes.iter().map(|change| format!("{change}\n")).collect::<String>())?;
    Ok(SUCCESS)
}
