//! `docker tag`: gives an image one more name.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS};
use crate::cli::session::Session;
use crate::image::{Digest, Reference};

pub static VERB: Verb = Verb {
    names: &["tag", "image tag"],
    synopsis: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    about: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    arguments: Count::Exactly(2),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    source: Option<String>,
    target: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let (source, target) = (options.source.unwrap_or_default(), options.target.unwrap_or_default());
    if Digest::from_hex(&source).is_err() && source.parse::<Digest>().is_err() {
        parsed(&source)?;
    }
    let target = parsed(&target)?;
    if target.digest().is_some() {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    session.engine()?.tag(&source, &target)?;
    Ok(SUCCESS)
}

fn parsed(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|error| {
        Failure::new(format!("Error parsing reference: {text:?} is not a valid repository/tag: {error}"))
    })
}
