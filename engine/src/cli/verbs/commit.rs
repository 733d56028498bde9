//! `docker commit`: makes an image of a container.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options, truth};
use crate::cli::messages::{Failure, SUCCESS, print_line};
use crate::cli::session::Session;
use crate::container::CommitSpec;
use crate::image::Reference;

pub static VERB: Verb = Verb {
    names: &["commit", "container commit"],
    synopsis: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    about: "Create a new image from a container's changes",
    arguments: Count::Between(1, 2),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    author: String,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    message: String,
    /// Pause container during commit
    #[arg(short, long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_parser = truth, action = clap::ArgAction::Set, value_name = "bool")]
    pause: bool,
    container: Option<String>,
    reference: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let reference = options.reference.filter(|name| !name.is_empty()).map(|name| Reference::parse(&name)).transpose();
    let reference = reference.map_err(|error| Failure::new(error.to_string()))?;
    if reference.as_ref().is_some_and(|reference| reference.digest().is_some()) {
        return Err(Failure::new("refusing to create a tag with a digest reference"));
    }
    let spec = CommitSpec {
        reference,
        author: options.author,
        comment: options.message,
        changes: options.change,
        pause: options.pause,
    };
    print_line(session.engine()?.commit(&options.container.unwrap_or_default(), &spec)?)?;
    Ok(SUCCESS)
}
