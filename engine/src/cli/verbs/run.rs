//! `docker run`: makes a container, starts it, and shows its output until it ends.

use clap::{CommandFactory, Parser};
use jiff::Timestamp;

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{self, Failure, REFUSED, SUCCESS, check_terminal, run_refused, start_failed};
use crate::cli::run_options::{CreateError, RunOptions};
use crate::cli::session::Session;
use crate::container::attach::{AttachStreams, Attached};

pub static VERB: Verb = Verb {
    names: &["run", "container run"],
    synopsis: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    about: "Run a command in a new container",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string")]
    detach_keys: Option<String>,
    #[command(flatten)]
    run: RunOptions,
}

fn run(session: &Session, Options { detach, detach_keys, run }: Options) -> Result<u8, Failure> {
    if !detach {
        check_terminal(run.interactive, run.tty)?;
    }
    let detach_keys = session.detach_keys(detach_keys.as_deref());
    let detach_keys = detach_keys.map_err(|failure| run_refused("run", &failure.text))?;
    let engine = session.engine_to_start().map_err(|failure| run_refused("run", &failure.text))?;
    let create = || {
        run.create("run", &engine, detach).map_err(|error| match error {
            CreateError::Wrong(failure) => failure,
            CreateError::Refused(reason) => run_refused("run", &reason),
        })
    };
    if detach {
        let container = create()?;
        let started = engine.start(&container.id);
        messages::print_line(&container.id)?;
        return started.map(|()| SUCCESS).map_err(|error| start_failed(&error, false, Timestamp::now()));
    }
    let streams = AttachStreams {
        stdin: run.interactive,
        stdout: true,
        stderr: true,
        tty: run.tty,
        forwards_signals: true,
        detach_keys,
    };
    let summoned = engine.summon_monitor().map_err(|error| run_refused("run", &error.to_string()))?;
    let container = match create() {
        Ok(container) => container,
        Err(failure) => {
            summoned.dismiss();
            return Err(failure);
        }
    };
    let is_awaited = !container.host.auto_remove;
    let ended = engine.run_summoned(&container.id, summoned, &streams);
    match ended.map_err(|error| start_failed(&error, is_awaited, Timestamp::now()))? {
        Attached::Ended(code) => Ok(u8::try_from(code).unwrap_or(REFUSED)),
        Attached::Left => Ok(SUCCESS),
    }
}
