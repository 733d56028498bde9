//! `docker export`: writes a container's file system to an archive.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::Failure;
use crate::cli::output::write_archive;
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["export", "container export"],
    synopsis: "[OPTIONS] CONTAINER",
    about: "Export a container's filesystem as a tar archive",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    output: String,
    container: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    let container = options.container.unwrap_or_default();
    write_archive(&options.output, "export container", |out| engine.export(&container, out))
}
