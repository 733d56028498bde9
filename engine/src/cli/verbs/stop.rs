//! `docker stop`: asks containers to end, and kills those that do not in time.

use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options, whole_number};
use crate::cli::messages::{Failure, for_each_name};
use crate::cli::session::Session;

pub static VERB: Verb = Verb {
    names: &["stop", "container stop"],
    synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Stop one or more running containers",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Seconds to wait for stop before killing it
    #[arg(short, long, value_name = "int", value_parser = whole_number, allow_hyphen_values = true)]
    time: Option<i64>,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    let timeout = options.time.map(timeout);
    for_each_name(&options.names, |name| Ok(engine.stop(name, timeout)?))
}

/// Fewer than no seconds mean to wait for ever, which is a hundred years here.
pub fn timeout(seconds: i64) -> Duration {
    const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    u64::try_from(seconds).map_or(FOREVER, |seconds| FOREVER.min(Duration::from_secs(seconds)))
}
