//! `docker rm`: removes containers.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, all_said, print_line};
use crate::cli::session::Session;
use crate::container::EngineError;

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
    let mut failures = Vec::new();
    for name in &options.names {
        match engine.remove_container(name, options.force, options.volumes) {
            Ok(()) => print_line(name)?,
            // What is to go by force may be gone already; that is said, and is no failure.
            Err(error @ EngineError::NoSuchContainer(_)) if options.force => {
                eprintln!("{}", Failure::about_container(&error, name).text);
            }
            Err(error) => failures.push(Failure::about_container(&error, name).text),
        }
    }
    all_said(failures)
}
