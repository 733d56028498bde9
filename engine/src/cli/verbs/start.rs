//! `docker start`: starts containers that were made or have ended.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{self, FAILED, Failure, SUCCESS};
use crate::cli::session::Session;
use crate::container::Engine;
use crate::container::attach::AttachStreams;

pub static VERB: Verb = Verb {
    names: &["start", "container start"],
    synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Start one or more stopped containers",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine_to_start()?;
    match options.names.as_slice() {
        [name] if options.attach || options.interactive => attach(&engine, name, options.interactive),
        _ if options.attach || options.interactive => {
            Err(Failure::new("you cannot start and attach multiple containers at once"))
        }
        names => start_all(&engine, names),
    }
}

fn attach(engine: &Engine, name: &str, is_interactive: bool) -> Result<u8, Failure> {
    let container = engine.container(name)?;
    let config = &container.config.config;
    let stdin = is_interactive && config.open_stdin;
    messages::check_terminal(stdin, config.tty)?;
    let streams = AttachStreams { stdin, stdout: true, stderr: true, tty: config.tty };
    let code = engine.run_attached(&container.id, &streams)?;
    Ok(u8::try_from(code).unwrap_or(FAILED))
}

fn start_all(engine: &Engine, names: &[String]) -> Result<u8, Failure> {
    let mut failed = Vec::new();
    for name in names {
        match engine.start(name) {
            Ok(()) => messages::print_line(name)?,
            Err(error) => {
                eprintln!("{}", Failure::from(error).text);
                failed.push(name.as_str());
            }
        }
    }
    if failed.is_empty() {
        return Ok(SUCCESS);
    }
    Err(Failure::new(format!("Error: failed to start containers: {}", failed.join(", "))))
}
