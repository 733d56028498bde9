//! `docker volume inspect`: everything about volumes.

use clap::{CommandFactory, Parser};

use super::Verb;
use super::inspect::{VOLUME, show};
use crate::cli::arguments::{Count, options};
use crate::cli::messages::Failure;
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["volume inspect"],
    synopsis: "[OPTIONS] VOLUME [VOLUME...]",
    about: "Display detailed information on one or more volumes",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    show(session, options.format, VOLUME, false, &options.names)
}
