//! `docker restart`: stops containers and starts them again.

use clap::{CommandFactory, Parser};

use super::{Verb, stop};
use crate::cli::arguments::{Count, options, whole_number};
use crate::cli::messages::{Failure, for_each_name};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["restart", "container restart"],
    synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Restart one or more containers",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Seconds to wait for stop before killing the container
    #[arg(short, long, value_name = "int", value_parser = whole_number, allow_hyphen_values = true)]
    time: Option<i64>,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine_to_start()?;
    for_each_name(&options.names, |name| {
        engine.stop(name, options.time.map(stop::timeout))?;
        Ok(engine.start(name)?)
    })
}
