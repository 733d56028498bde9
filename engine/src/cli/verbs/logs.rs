//! `docker logs`: what a container wrote, to the stream it wrote it to.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::messages::{self, Failure, SUCCESS, system_reason};
use crate::cli::session::Session;
use crate::container::EngineError;
use crate::container::log::{LogLine, LogReader, Stream};

/// How often a log that is followed is looked at.
const FOLLOW_PAUSE: Duration = Duration::from_millis(100);

pub static VERB: Verb = Verb {
    names: &["logs", "container logs"],
    synopsis: "[OPTIONS] CONTAINER",
    about: "Fetch the logs of a container",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

#[derive(Parser)]
struct Options {
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    name: Option<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let name = options.name.unwrap_or_default();
    let engine = session.engine()?;
    let container = engine.container(&name).map_err(|error| Failure::about_container(&error, &name))?;
    let mut log = LogReader::new(&container.config.log_path);
    let lines = more(&mut log)?;
    tail(&lines, &options.tail).iter().try_for_each(|line| show(line, options.timestamps))?;
    let mut goes_on = options.follow && container.config.state.running;
    while goes_on {
        // Asked before the log is read: what is written before the end is then in it.
        goes_on = match engine.container(&container.id) {
            Ok(now) => now.config.state.running && now.config.state.started_at == container.config.state.started_at,
            Err(EngineError::NoSuchContainer(_)) => return Ok(SUCCESS),
            Err(error) => return Err(error.into()),
        };
        more(&mut log)?.iter().try_for_each(|line| show(line, options.timestamps))?;
        if goes_on {
            thread::sleep(FOLLOW_PAUSE);
        }
    }
    Ok(SUCCESS)
}

fn more(log: &mut LogReader) -> Result<Vec<LogLine>, Failure> {
    log.read().map_err(|error| Failure::new(format!("Error response from daemon: {}", system_reason(&error))))
}

/// The last lines of a log; what is no number means all, as in Docker.
fn tail<'a>(lines: &'a [LogLine], count: &str) -> &'a [LogLine] {
    let count = count.parse().unwrap_or(lines.len());
    &lines[lines.len().saturating_sub(count)..]
}

fn show(line: &LogLine, with_time: bool) -> Result<(), Failure> {
    let text = if with_time {
        format!("{} {}", line.time.timestamp().strftime("%Y-%m-%dT%H:%M:%S.%9fZ"), line.text)
    } else {
        line.text.clone()
    };
    match line.stream {
        Stream::Stdout => messages::print(&text),
        Stream::Stderr => io::stderr().write_all(text.as_bytes()).map_err(|error| Failure::new(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_counted_over_both_streams() {
        let line =
            |stream, text: &str| LogLine { text: text.to_owned(), stream, time: jiff::Timestamp::UNIX_EPOCH.into() };
        let lines = [line(Stream::Stdout, "line 5\n"), line(Stream::Stderr, "err\n"), line(Stream::Stdout, "nonl")];
        let texts = |count: &str| tail(&lines, count).iter().map(|line| line.text.as_str()).collect::<Vec<_>>();
        assert_eq!(texts("2"), ["err\n", "nonl"]);
        assert_eq!(texts("0"), Vec::<&str>::new());
        for all in ["all", "bad", "7", "-1"] {
            assert_eq!(texts(all).len(), 3);
        }
    }
}
