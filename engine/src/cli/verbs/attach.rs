//! `docker attach`: joins a running container's streams.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{self, FAILED, Failure};
use crate::cli::session::Session;
use crate::container::attach::{AttachStreams, Attached};

pub static VERB: Verb = Verb {
    names: &["attach", "container attach"],
    synopsis: "[OPTIONS] CONTAINER",
    about: "Attach local standard input, output, and error streams to a running container",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

/// What Docker's CLI says when somebody leaves an attached terminal.
const LEFT: &str = "read escape sequence";

#[derive(Parser)]
struct Options {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    /// Proxy all received signals to the process
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    sig_proxy: bool,
    name: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    let name = options.name.unwrap_or_default();
    let container = engine.container(&name).map_err(|error| Failure::about_container(&error, &name))?;
    if !container.config.state.running {
        return Err(Failure::new("You cannot attach to a stopped container, start it first"));
    }
    let config = &container.config.config;
    let stdin = !options.no_stdin && config.open_stdin;
    messages::check_terminal(stdin, config.tty)?;
    let streams = AttachStreams {
        stdin,
        stdout: true,
        stderr: true,
        tty: config.tty,
        forwards_signals: options.sig_proxy,
        detach_keys: session.detach_keys(options.detach_keys.as_deref())?,
    };
    match engine.attach(&container.id, &streams)? {
        Attached::Ended(code) => Ok(u8::try_from(code).unwrap_or(FAILED)),
        Attached::Left => Err(Failure::new(LEFT)),
    }
}
