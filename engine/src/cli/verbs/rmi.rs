//! `docker rmi`: removes names from images, and images that have no name left.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, all_said, print_line};
use crate::cli::session::Session;
use crate::container::{EngineError, RemovedImage};

pub static VERB: Verb = Verb {
    names: &["rmi", "image rm"],
    synopsis: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Remove one or more images",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    let mut failures = Vec::new();
    let mut is_fatal = false;
    for name in &options.names {
        match engine.remove_image(name, options.force) {
            Ok(removed) => removed.iter().try_for_each(|removed| print_line(line(removed)))?,
            Err(error) => {
                // With force, an image that is not there is as good as removed.
                is_fatal |= !(options.force && matches!(error, EngineError::NoSuchImage(_)));
                failures.push(Failure::about_image(&error, name).text);
            }
        }
    }
    if is_fatal {
        return all_said(failures);
    }
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    Ok(SUCCESS)
}

fn line(removed: &RemovedImage) -> String {
    match removed {
        RemovedImage::Untagged(name) => format!("Untagged: {name}"),
        RemovedImage::Deleted(digest) => format!("Deleted: {digest}"),
    }
}
