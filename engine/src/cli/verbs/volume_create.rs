//! `docker volume create`: makes a volume.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{Failure, SUCCESS, print_line};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["volume create"],
    synopsis: "[OPTIONS] [VOLUME]",
    about: "Create a volume",
    arguments: Count::AtMost(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Specify volume driver name
    #[arg(short, long, value_name = "string", default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list")]
    label: Vec<String>,
    /// The name of older Dockers' option
    #[arg(long, value_name = "string", hide = true)]
    name: Option<String>,
    /// Set driver specific options (this engine's volumes have none)
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    volume: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    if options.name.is_some() && options.volume.is_some() {
        return Err(Failure::new("conflicting options: either specify --name or provide positional arg, not both"));
    }
    let name = options.volume.or(options.name);
    if let Some(option) = options.opt.first() {
        let (name, option) = (name.unwrap_or_default(), option.split('=').next().unwrap_or_default());
        return Err(Failure::new(format!(
            "Error response from daemon: create {name}: invalid option: {option:?} (this engine's volumes are plain directories: \
             leave --opt out)"
        )));
    }
    let pair = |label: &String| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        (key.to_owned(), value.to_owned())
    };
    let labels = options.label.iter().map(pair).collect();
    print_line(session.engine()?.create_volume(name.as_deref(), &options.driver, &labels)?)?;
    Ok(SUCCESS)
}
