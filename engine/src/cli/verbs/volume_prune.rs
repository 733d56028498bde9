//! `docker volume prune`: removes every volume that no container has.

use clap::{CommandFactory, Parser};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::filters::{Filter, filter};
use crate::cli::messages::{Failure, SUCCESS};
use crate::cli::pruning;
use crate::cli::session::Session;
use crate::cli::volume_filter::Filters;
use crate::container::Pruned;

pub static VERB: Verb = Verb {
    names: &["volume prune"],
    synopsis: "[OPTIONS]",
    about: "Remove all unused local volumes",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const WARNING: &str = "WARNING! This will remove all local volumes not used by at least one container.";

#[derive(Parser)]
struct Options {
    /// Provide filter values (e.g. 'label=<label>')
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let filters = Filters::new(&options.filter, &["label", "label!"])?;
    let engine = session.engine()?;
    let pruned = if options.force || pruning::is_wanted(WARNING)? {
        engine.prune_volumes(&|volume| filters.fit(volume, false))?
    } else {
        Pruned::default()
    };
    pruning::tell("Deleted Volumes:", pruned, String::clone)?;
    Ok(SUCCESS)
}
