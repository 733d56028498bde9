//! `docker exec`: runs a further command in a container that runs.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options, variable};
use crate::cli::messages::{self, Failure, NOT_EXECUTABLE};
use crate::cli::run_options::environment;
use crate::cli::session::Session;
use crate::container::detach_keys::DetachKeys;
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
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
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
    check_detach_keys(options.detach_keys.as_deref().unwrap_or_default(), &spec)?;
    match engine.exec(&name, &spec) {
        Ok(code) => Ok(u8::try_from(code).unwrap_or(NOT_EXECUTABLE)),
        Err(EngineError::Start { text, .. }) if !spec.detach => {
            // dockerd sends this through the stream of the command that could not be.
            messages::print(&format!("{text}\r\n"))?;
            Ok(NOT_EXECUTABLE)
        }
        Err(error) => Err(Failure::about_container(&error, &name)),
    }
}

/// Keys that are none are refused as dockerd does. Those of a terminal that somebody types into would do nothing here: the
/// program ends with the command that started it.
fn check_detach_keys(keys: &str, spec: &ExecSpec) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    if keys.parse::<DetachKeys>().is_err() {
        return Err(Failure::new(format!("Error response from daemon: Invalid escape keys ({keys}) provided")));
    }
    match spec.interactive && spec.tty {
        true => Err(Failure::new(
            "--detach-keys: this engine's exec cannot be left while its program runs; use --detach, or attach to the \
             container's own program",
        )),
        false => Ok(()),
    }
}
