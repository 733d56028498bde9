//! `docker exec`: runs a further command in a container that runs.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options, variable};
use crate::cli::messages::{self, Failure, NOT_EXECUTABLE};
use crate::cli::run_options::environment;
use crate::cli::session::Session;
use crate::container::{EngineError, ExecSpec};

pub static VERB: Verb = Verb {
    names: &["exec", "container exec"],
    synopsis: "[OPTIONS] CONTAINER COMMAND [ARG...]",
    about: "Run a command in a running container",
    arguments: Count::AtLeast(2),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Set environment variables
    #[arg(short, long, value_name = "list", value_parser = variable)]
    env: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string")]
    workdir: Option<String>,
    name: Option<String>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let name = options.name.clone().unwrap_or_default();
    let spec = ExecSpec {
        command: options.command,
        env: environment(&options.env, |name| std::env::var(name).ok()),
        workdir: options.workdir,
        user: options.user,
        interactive: options.interactive && !options.detach,
        tty: options.tty && !options.detach,
        detach: options.detach,
    };
    let engine = session.engine()?;
    engine.container(&name).map_err(|error| Failure::about_container(&error, &name))?;
    messages::check_terminal(spec.interactive, spec.tty)?;
    match engine.exec(&name, &spec) {
        Ok(code) => Ok(u8::try_from(code).unwrap_or(NOT_EXECUTABLE)),
        Err(EngineError::Start { text, exit_code: 126 | 127 }) => {
            // Docker sends this through the stream of the command that could not be.
            messages::print_line(text)?;
            Ok(NOT_EXECUTABLE)
        }
        Err(error) => Err(Failure::about_container(&error, &name)),
    }
}
