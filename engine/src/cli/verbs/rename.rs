//! `docker rename`: gives a container another name.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["rename", "container rename"],
    synopsis: "CONTAINER NEW_NAME",
    about: "Rename a container",
    arguments: Count::Exactly(2),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    old: Option<String>,
    new: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let (old, new) = (options.old.unwrap_or_default(), options.new.unwrap_or_default());
    let (old, new) = (old.trim(), new.trim());
    if old.is_empty() || new.is_empty() {
        return Err(Failure::new("Error: Neither old nor new names may be empty"));
    }
    session.engine()?.rename(old, new).map_err(|error| {
        let reason = Failure::from(error).text;
        Failure::new(format!("{reason}\nError: failed to rename container named {old}"))
    })?;
    Ok(SUCCESS)
}
