//! `docker volume rm`: removes volumes that no container has.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, for_each_name};
use crate::cli::session::Session;
use crate::container::EngineError;

pub static VERB: Verb = Verb {
    names: &["volume rm"],
    synopsis: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Remove one or more volumes",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    for_each_name(&options.names, |name| match engine.remove_volume(name) {
        // With force, a volume that is not there is as good as removed.
        Err(EngineError::NoSuchVolume(_)) if options.force => Ok(()),
        other => other.map_err(|error| Failure::about_volume(&error, name)),
    })
}
