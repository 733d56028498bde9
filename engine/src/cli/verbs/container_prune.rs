//! `docker container prune`: removes every container that does not run.

use clap::{CommandFactory, Parser};
use jiff::Timestamp;

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::filters::{Filter, PruneFilters, filter};
use crate::cli::messages::{Failure, SUCCESS};
use crate::cli::pruning;
use crate::cli::session::Session;
use crate::container::Pruned;

pub static VERB: Verb = Verb {
    names: &["container prune"],
    synopsis: "[OPTIONS]",
    about: "Remove all stopped containers",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const WARNING: &str = "WARNING! This will remove all stopped containers.";

#[derive(Parser)]
struct Options {
    /// Provide filter values (e.g. 'until=<timestamp>')
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let mut pruned = Pruned::default();
    if options.force || pruning::is_wanted(WARNING)? {
        let filters = PruneFilters::new(&options.filter, false, Timestamp::now())?;
        pruned = session.engine()?.prune_containers(&|container| {
            let config = &container.config;
            filters.fit(config.created.timestamp(), config.config.labels.as_ref())
        })?;
    }
    pruning::tell("Deleted Containers:", pruned, String::clone)?;
    Ok(SUCCESS)
}
