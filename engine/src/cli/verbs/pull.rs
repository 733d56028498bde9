//! `docker pull`: fetches an image from a registry.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS};
use crate::cli::pulling;
use crate::cli::session::Session;
use crate::image::Reference;

pub static VERB: Verb = Verb {
    names: &["pull", "image pull"],
    synopsis: "[OPTIONS] NAME[:TAG|@DIGEST]",
    about: "Pull an image or a repository from a registry",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    name: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let reference =
        Reference::parse(&options.name.unwrap_or_default()).map_err(|error| Failure::new(error.to_string()))?;
    pulling::pull(&session.engine()?, &reference, options.quiet)?;
    Ok(SUCCESS)
}
