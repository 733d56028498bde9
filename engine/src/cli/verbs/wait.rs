//! `docker wait`: waits for containers to end and prints their exit codes.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, all_said, print_line};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["wait", "container wait"],
    synopsis: "CONTAINER [CONTAINER...]",
    about: "Block until one or more containers stop, then print their exit codes",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    let mut failures = Vec::new();
    for name in &options.names {
        match engine.wait(name) {
            Ok(code) => print_line(code)?,
            Err(error) => failures.push(Failure::from(error).text),
        }
    }
    all_said(failures)
}
