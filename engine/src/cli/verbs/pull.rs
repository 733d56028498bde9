//! `docker pull`: fetches an image from a registry.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print_line};
use crate::cli::pulling;
use crate::cli::session::Session;
use crate::cli::trust::Trust;
use crate::image::Reference;
use crate::image::manifest::Platform;

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
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    #[command(flatten)]
    trust: Trust,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    name: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let reference =
        Reference::parse(&options.name.unwrap_or_default()).map_err(|error| Failure::new(error.to_string()))?;
    if options.all_tags && !reference.is_name_only() {
        return Err(Failure::new("tag can't be used with --all-tags/-a"));
    }
    options.trust.refuse().map_err(|reason| Failure::new(format!("Error: {reason}")))?;
    if reference.is_name_only() && !options.all_tags && !options.quiet {
        print_line("Using default tag: latest")?;
    }
    let platform = options.platform.filter(|text| !text.is_empty());
    let platform = platform.map(|text| Platform::parse(&text)).transpose();
    let platform = platform.map_err(|error| Failure::new(format!("Error response from daemon: {error}")))?;
    let engine = session.engine()?;
    if options.all_tags {
        pulling::pull_all(&engine, &reference, platform.as_ref(), options.quiet)?;
    } else {
        pulling::pull(&engine, &reference, platform.as_ref(), options.quiet)?;
    }
    Ok(SUCCESS)
}
