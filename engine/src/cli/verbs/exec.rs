//! `docker exec`: runs a further command in a container that runs.

use std::process::{Command, Stdio};

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{self, Failure, NOT_EXECUTABLE, SUCCESS};
use crate::cli::run_options::environment;
use crate::cli::session::Session;
use crate::container::{EngineError, ExecSpec};
use crate::sys::process::spawn_detached;

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
    #[arg(short, long, value_name = "list")]
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
        env: environment(&options.env, |name| std::env::var(name).ok()).map_err(Failure::new)?,
        workdir: options.workdir,
        user: options.user,
        interactive: options.interactive && !options.detach,
        tty: options.tty && !options.detach,
    };
    let engine = session.engine()?;
    let container = engine.container(&name).map_err(|error| Failure::about_container(&error, &name))?;
    if options.detach {
        if !container.config.state.running {
            return Err(EngineError::NotRunning(container.id).into());
        }
        return detach(session, &container.id, &spec).map(|()| SUCCESS);
    }
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

/// Leaves the command to a copy of this program that nobody waits for.
fn detach(session: &Session, id: &str, spec: &ExecSpec) -> Result<(), Failure> {
    let mut command = Command::new(&session.program);
    command.arg("--data-root").arg(&session.data_root).arg("--exec-root").arg(&session.exec_root);
    command.args(session.storage_driver.iter().flat_map(|driver| ["--storage-driver", driver]));
    command.arg("exec");
    command.args(spec.env.iter().flat_map(|entry| ["--env", entry]));
    command.args(spec.user.iter().flat_map(|user| ["--user", user]));
    command.args(spec.workdir.iter().flat_map(|directory| ["--workdir", directory]));
    command.arg(id).args(&spec.command).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let spawned = spawn_detached(&mut command);
    spawned.map(drop).map_err(|error| Failure::new(format!("cannot start {}: {error}", session.program.display())))
}
