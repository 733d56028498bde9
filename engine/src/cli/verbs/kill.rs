//! `docker kill`: sends a signal to containers, SIGKILL unless another is named.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, for_each_name};
use crate::cli::session::Session;
use crate::container::EngineError;

pub static VERB: Verb = Verb {
    names: &["kill", "container kill"],
    synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Kill one or more running containers",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string", default_value = "KILL")]
    signal: String,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    for_each_name(&options.names, |name| {
        let killed = engine.kill(name, &options.signal);
        killed.map_err(|error| match error {
            EngineError::InvalidSignal(_) => Failure::from(error),
            _ => Failure::new(format!("Error response from daemon: Cannot kill container: {name}: {error}")),
        })
    })
}
