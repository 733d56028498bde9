//! `docker image prune`: removes images that have no name and that nobody needs, or all that no container uses.

use clap::{CommandFactory, Parser};
use jiff::Timestamp;

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::filters::{Filter, PruneFilters, filter};
use crate::cli::messages::{Failure, SUCCESS};
use crate::cli::pruning;
use crate::cli::session::Session;
use crate::container::{Pruned, RemovedImage};

pub static VERB: Verb = Verb {
    names: &["image prune"],
    synopsis: "[OPTIONS]",
    about: "Remove unused images",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const WARNING: &str = "WARNING! This will remove all dangling images.";
const WARNING_OF_ALL: &str = "WARNING! This will remove all images without at least one container associated to them.";

#[derive(Parser)]
struct Options {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. 'until=<timestamp>')
    #[arg(long, value_name = "filter", value_parser = filter)]
    filter: Vec<Filter>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let mut pruned = Pruned::default();
    if options.force || pruning::is_wanted(if options.all { WARNING_OF_ALL } else { WARNING })? {
        let filters = PruneFilters::new(&options.filter, true, Timestamp::now())?;
        // As to dockerd: whatever else was said, one `false` means all.
        let all = options.all || filters.dangling.iter().any(|value| value == "false" || value == "0");
        pruned = session.engine()?.prune_images(all, &|image, config| {
            filters.fit(image.created, config.and_then(|config| config.labels.as_ref()))
        })?;
    }
    pruning::tell("Deleted Images:", pruned, |removed| match removed {
        RemovedImage::Untagged(name) => format!("untagged: {name}"),
        RemovedImage::Deleted(digest) => format!("deleted: {digest}"),
    })?;
    Ok(SUCCESS)
}
