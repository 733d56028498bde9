//! `docker import`: makes an image of a tar.

use std::io::{self, Read};

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, open_archive, print_line};
use crate::cli::session::Session;
use crate::container::ImportSpec;
use crate::image::Reference;

pub static VERB: Verb = Verb {
    names: &["import", "image import"],
    synopsis: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    about: "Import the contents from a tarball to create a filesystem image",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    message: String,
    source: Option<String>,
    reference: Option<String>,
    #[arg(hide = true)]
    more: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let source = options.source.unwrap_or_default();
    let reference = options.reference.filter(|name| !name.is_empty()).map(|name| Reference::parse(&name)).transpose();
    let reference = reference.map_err(|error| Failure::new(error.to_string()))?;
    let tar = tar(&source)?;
    let spec = ImportSpec { reference, message: options.message, changes: options.change };
    print_line(session.engine()?.import(tar, &spec)?)?;
    Ok(SUCCESS)
}

fn tar(source: &str) -> Result<Box<dyn Read>, Failure> {
    if source == "-" {
        return Ok(Box::new(io::stdin()));
    }
    if source.starts_with("http://") || source.starts_with("https://") {
        return Err(Failure::new(format!(
            "cannot import from {source}: download it first (curl -LO {source}), then import the file"
        )));
    }
    Ok(Box::new(open_archive(source)?))
}
