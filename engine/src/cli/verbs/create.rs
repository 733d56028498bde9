//! `docker create`: makes a container that does not run yet.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{self, Failure, SUCCESS};
use crate::cli::run_options::{CreateError, RunOptions};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["create", "container create"],
    synopsis: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Create a new container",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    run: RunOptions,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let container = options.run.create("create", &session.engine()?, false).map_err(|error| match error {
        CreateError::Wrong(failure) => failure,
        CreateError::Refused(reason) => Failure::new(reason),
    })?;
    messages::print_line(&container.id)?;
    Ok(SUCCESS)
}
