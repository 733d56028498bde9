//! `docker rm`: removes containers.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, for_each_name};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["rm", "container rm"],
    synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Remove one or more containers",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short = 'v', long)]
    volumes: bool,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    for_each_name(&options.names, |name| {
        engine
            .remove_container(name, options.force, options.volumes)
            .map_err(|error| Failure::about_container(&error, name))
    })
}
