//! `layerlab init`: lays out the data root, as dockerd does when it starts for the first time. Docker has no such verb.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["init"],
    synopsis: "",
    about: "Lay out the data root as dockerd does at its first start (a verb of layerlab, not of Docker)",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {}

fn run(session: &Session, _: Options) -> Result<u8, Failure> {
    session.engine()?;
    Ok(SUCCESS)
}
