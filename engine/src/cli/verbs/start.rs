//! `docker start`: starts containers that were made or have ended.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{self, FAILED, Failure, SUCCESS};
use crate::cli::session::Session;
use crate::container::Engine;
use crate::container::attach::{AttachStreams, Attached};

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
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine_to_start()?;
    match options.names.as_slice() {
        [name] if options.attach || options.interactive => attach(session, &engine, name, &options),
        _ if options.attach || options.interactive => {
            Err(Failure::new("you cannot start and attach multiple containers at once"))
        }
        names => start_all(&engine, names),
    }
}

fn attach(session: &Session, engine: &Engine, name: &str, options: &Options) -> Result<u8, Failure> {
    let container = engine.container(name).map_err(|error| Failure::about_container(&error, name))?;
    let config = &container.config.config;
    let stdin = options.interactive && config.open_stdin;
    messages::check_terminal(stdin, config.tty)?;
    let streams = AttachStreams {
        stdin,
        stdout: true,
        stderr: true,
        tty: config.tty,
        forwards_signals: true,
        detach_keys: session.detach_keys(options.detach_keys.as_deref())?,
    };
    match engine.run_attached(&container.id, &streams)? {
        Attached::Ended(code) => Ok(u8::try_from(code).unwrap_or(FAILED)),
        Attached::Left => Ok(SUCCESS),
    }
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
