//! `docker push`: sends an image to a registry.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print_line};
use crate::cli::pushing;
use crate::cli::session::Session;
use crate::cli::trust::Trust;
use crate::image::Reference;

pub static VERB: Verb = Verb {
    names: &["push", "image push"],
    synopsis: "[OPTIONS] NAME[:TAG]",
    about: "Push an image or a repository to a registry",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Push all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    #[command(flatten)]
    trust: Trust,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    name: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let given = Reference::parse(&options.name.unwrap_or_default()).map_err(|error| Failure::new(error.to_string()))?;
    if options.all_tags && !given.is_name_only() {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    if given.digest().is_some() {
        return Err(Failure::new("cannot push a digest reference"));
    }
    options.trust.refuse().map_err(|reason| Failure::new(format!("Error: {reason}")))?;
    let engine = session.engine()?;
    let reference = if options.all_tags { given.clone() } else { given.clone().with_default_tag() };
    if reference != given && !options.quiet {
        print_line("Using default tag: latest")?;
    }
    pushing::push(&engine, &reference, options.all_tags, options.quiet)?;
    Ok(SUCCESS)
}
