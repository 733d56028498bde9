//! `docker volume ls`: lists volumes.

use std::cmp::Ordering;

use clap::{CommandFactory, Parser};
use serde_json::{Map, Value, json};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::filters::{Filter, filter};
use crate::cli::listing::Listing;
use crate::cli::messages::{Failure, SUCCESS, print};
use crate::cli::session::Session;
use crate::cli::template::LABELS;
use crate::cli::volume_filter::Filters;
use crate::container::Volume;
use crate::container::config::LOCAL;

pub static VERB: Verb = Verb {
    names: &["volume ls"],
    synopsis: "[OPTIONS]",
    about: "List volumes",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const TABLE: &str = r"table {{.Driver}}\t{{.Name}}";
const NAMES: &str = "{{.Name}}";
/// What Docker shows where it would have to look first.
const UNKNOWN: &str = "N/A";

const LISTING: Listing = Listing {
    kind: "*formatter.volumeContext",
    headings: &[
        ("Driver", "DRIVER"),
        ("Labels", "LABELS"),
        ("Links", "LINKS"),
        ("Mountpoint", "MOUNTPOINT"),
        ("Name", "VOLUME NAME"),
        ("Scope", "SCOPE"),
        ("Size", "SIZE"),
    ],
};

#[derive(Parser)]
struct Options {
    /// Provide filter values (e.g. 'dangling=true')
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<Filter>,
    /// Pretty-print volumes using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let filters = Filters::new(&options.filter, &["dangling", "driver", "label", "name"])?;
    let engine = session.engine()?;
    let users = engine.volume_users()?;
    let mut volumes = engine.volumes()?;
    volumes.retain(|volume| filters.fit(volume, users.contains_key(&volume.name)));
    volumes.sort_by(|a, b| natural(&a.name, &b.name));
    let format = match options.format.as_deref() {
        Some(format) if !format.is_empty() && format != "table" => format,
        _ if options.quiet => NAMES,
        _ => TABLE,
    };
    print(&LISTING.render(format, &volumes.iter().map(line).collect::<Vec<_>>())?)?;
    Ok(SUCCESS)
}

fn line(volume: &Volume) -> Map<String, Value> {
    let labels = volume.labels.iter().flatten().map(|(name, value)| format!("{name}={value}"));
    let fields = [
        ("Driver", LOCAL.to_owned()),
        ("Labels", labels.collect::<Vec<_>>().join(",")),
        ("Links", UNKNOWN.to_owned()),
        ("Mountpoint", volume.data.display().to_string()),
        ("Name", volume.name.clone()),
        ("Scope", LOCAL.to_owned()),
        ("Size", UNKNOWN.to_owned()),
    ];
    let fields = fields.into_iter().map(|(field, value)| (field.to_owned(), json!(value)));
    fields.chain([(LABELS.to_owned(), json!(volume.labels))]).collect()
}

/// Numbers within names by their value: `v2` before `v10`.
fn natural(a: &str, b: &str) -> Ordering {
    let number = |text: &str| {
        let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
        (text[..end].trim_start_matches('0').to_owned(), end)
    };
    let (mut a, mut b) = (a, b);
    loop {
        let (Some(first), Some(second)) = (a.chars().next(), b.chars().next()) else { return a.cmp(b) };
        if first.is_ascii_digit() && second.is_ascii_digit() {
            let ((left, left_end), (right, right_end)) = (number(a), number(b));
            let order = left.len().cmp(&right.len()).then_with(|| left.cmp(&right)).then(left_end.cmp(&right_end));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (&a[left_end..], &b[right_end..]);
        } else if first == second {
            (a, b) = (&a[first.len_utf8()..], &b[second.len_utf8()..]);
        } else {
            return first.cmp(&second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_count_by_their_value() {
        let mut names = ["v10", "v2", "a", "v2a", "0c1", "82a", "1178"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["0c1", "82a", "1178", "a", "v2", "v2a", "v10"]);
    }
}
