//! `docker load`: takes images out of an archive.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, open_archive, system_reason};
use crate::cli::progress::{PullLines, WithoutBars};
use crate::cli::session::Session;
use crate::container::LoadProgress;
use crate::sys::terminal;

pub static VERB: Verb = Verb {
    names: &["load", "image load"],
    synopsis: "[OPTIONS]",
    about: "Load an image from a tar archive or STDIN",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    input: String,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let input = archive(&options.input)?;
    let output = io::stdout();
    let progress: Box<dyn LoadProgress> = match terminal::size(&output) {
        Some(size) if options.quiet => Box::new(WithoutBars(PullLines::terminal(output, size.columns))),
        Some(size) => Box::new(PullLines::terminal(output, size.columns)),
        None => Box::new(PullLines::plain(output)),
    };
    // Docker's client gets this error among the progress, and shows it as it is.
    session.engine()?.load_images(input, progress.as_ref()).map_err(|error| Failure::new(error.to_string()))?;
    Ok(SUCCESS)
}

fn archive(path: &str) -> Result<File, Failure> {
    if !path.is_empty() {
        return open_archive(path);
    }
    if io::stdin().is_terminal() {
        return Err(Failure::new("requested load from stdin, but stdin is empty"));
    }
    let duplicate = io::stdin().as_fd().try_clone_to_owned();
    duplicate.map(File::from).map_err(|error| Failure::new(format!("read /dev/stdin: {}", system_reason(&error))))
}
