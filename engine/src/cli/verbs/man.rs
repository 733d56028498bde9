//! `layerlab man`: manual pages, one to the standard output or all into a directory.

use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use clap_mangen::Man;

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print, system_reason};
use crate::cli::session::Session;
use crate::cli::tree;

pub static VERB: Verb = Verb {
    names: &["man"],
    synopsis: "[OPTIONS] [COMMAND...]",
    about: "Generate manual pages: that of a command, or all with --output",
    arguments: Count::Any,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Write the pages of all commands into this directory
    #[arg(short, long, value_name = "directory")]
    output: Option<PathBuf>,
    words: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let mut command = tree::tree(session.program_name());
    if let Some(directory) = options.output {
        clap_mangen::generate_to(command, &directory).map_err(|error| {
            Failure::new(format!("cannot write to {}: {}", directory.display(), system_reason(&error)))
        })?;
        return Ok(SUCCESS);
    }
    command.build();
    let mut wanted = &command;
    for word in &options.words {
        let found = wanted.find_subcommand(word);
        wanted = found.ok_or_else(|| Failure::new(format!("unknown help topic: {}", options.words.join(" "))))?;
    }
    let mut page = Vec::new();
    Man::new(wanted.clone())
        .render(&mut page)
        .map_err(|error| Failure::new(format!("cannot make the page: {}", system_reason(&error))))?;
    print(&String::from_utf8_lossy(&page))?;
    Ok(SUCCESS)
}
