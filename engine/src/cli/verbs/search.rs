//! `docker search`: finds images by words on Docker Hub, or on another registry that has an index.

use clap::{CommandFactory, Parser};
use serde_json::{Map, Value, json};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::listing::Listing;
use crate::cli::messages::{Failure, SUCCESS, print};
use crate::cli::session::Session;
use crate::cli::units::ellipsis;
use crate::registry::{Found, search};

pub static VERB: Verb = Verb {
    names: &["search"],
    synopsis: "[OPTIONS] TERM",
    about: "Search the Docker Hub for images",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const LIMIT_MAX: i64 = 100;
const DESCRIPTION_LENGTH: usize = 45;
const TABLE: &str = r"table {{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}\t{{.IsAutomated}}";

const LISTING: Listing = Listing {
    kind: "*formatter.searchContext",
    headings: &[
        ("Name", "NAME"),
        ("Description", "DESCRIPTION"),
        ("StarCount", "STARS"),
        ("IsOfficial", "OFFICIAL"),
        ("IsAutomated", "AUTOMATED"),
    ],
};

#[derive(Parser)]
struct Options {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter")]
    filter: Vec<String>,
    /// Pretty-print search using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Max number of search results
    #[arg(long, value_name = "int", default_value_t = 25, hide_default_value = true)]
    limit: i64,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    term: Option<String>,
}

/// Which repositories are shown.
#[derive(Debug, Default, PartialEq, Eq)]
struct Filter {
    stars_min: i64,
    is_official: Option<bool>,
    is_automated: Option<bool>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let filter = Filter::parse(&options.filter)?;
    let refuse = |reason: String| Failure::new(format!("Error response from daemon: {reason}"));
    let limit = match options.limit {
        0 => 25,
        limit @ 1..=LIMIT_MAX => limit as u32,
        limit => return Err(refuse(format!("Limit {limit} is outside the range of [1, {LIMIT_MAX}]"))),
    };
    let found = search(&options.term.unwrap_or_default(), limit, &session.settings().registry);
    let mut found = found.map_err(|error| refuse(error.to_string()))?;
    found.retain(|repository| filter.fits(repository));
    found.sort_by_key(|repository| std::cmp::Reverse(repository.star_count));
    let format = options.format.as_deref().filter(|format| !format.is_empty() && *format != "table");
    let lines: Vec<_> = found.iter().map(|repository| line(repository, options.no_trunc)).collect();
    print(&LISTING.render(format.unwrap_or(TABLE), &lines)?)?;
    Ok(SUCCESS)
}

impl Filter {
    fn parse(words: &[String]) -> Result<Filter, Failure> {
        let mut filter = Filter::default();
        let refuse = |reason: String| Failure::new(format!("Error response from daemon: Invalid filter '{reason}'"));
        for word in words {
            let Some((name, value)) = word.split_once('=') else {
                return Err(Failure::new("bad format of filter (expected name=value)"));
            };
            let (name, value) = (name.trim().to_lowercase(), value.trim());
            let truth = || value.parse().map(Some).map_err(|_| refuse(format!("{name}=[{value}]")));
            match name.as_str() {
                "stars" => {
                    let stars: i64 = value.parse().map_err(|_| refuse(format!("stars={value}")))?;
                    filter.stars_min = filter.stars_min.max(stars);
                }
                "is-official" => filter.is_official = truth()?,
                "is-automated" => filter.is_automated = truth()?,
                other => return Err(refuse(other.to_owned())),
            }
        }
        Ok(filter)
    }

    fn fits(&self, found: &Found) -> bool {
        found.star_count >= self.stars_min
            && self.is_official.is_none_or(|wanted| found.is_official == wanted)
            && self.is_automated.is_none_or(|wanted| found.is_automated == wanted)
    }
}

fn line(found: &Found, is_whole: bool) -> Map<String, Value> {
    let description = found.description.replace(['\n', '\r'], " ");
    let description = if is_whole { description } else { ellipsis(&description, DESCRIPTION_LENGTH) };
    let mark = |is: bool| if is { "[OK]" } else { "" };
    let fields = [
        ("Name", json!(found.name)),
        ("Description", json!(description)),
        ("StarCount", json!(found.star_count.to_string())),
        ("IsOfficial", json!(mark(found.is_official))),
        ("IsAutomated", json!(mark(found.is_automated))),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_one_docker_printed() {
        let found = |name: &str, description: &str, star_count, is_official| Found {
            name: name.to_owned(),
            description: description.to_owned(),
            star_count,
            is_official,
            is_automated: !is_official,
        };
        let all = [
            found("centos", "The official build of CentOS.", 6987, true),
            found("consol/centos-xfce-vnc", "Centos container with \"headless\" VNC session, and more", 135, false),
        ];
        let lines: Vec<_> = all.iter().map(|found| line(found, false)).collect();
        let printed = "\
NAME                     DESCRIPTION                                     STARS     OFFICIAL   AUTOMATED
centos                   The official build of CentOS.                   6987      [OK]       
consol/centos-xfce-vnc   Centos container with \"headless\" VNC session…   135                  [OK]
";
        assert_eq!(LISTING.render(TABLE, &lines).unwrap(), printed);
    }

    #[test]
    fn filters_are_read_as_dockerd_reads_them() {
        let parse = |words: &[&str]| Filter::parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        let filter = Filter { stars_min: 3, is_official: Some(true), is_automated: None };
        assert_eq!(parse(&["stars=3", "is-official=true"]).unwrap(), filter);
        for (word, message) in [
            ("stars=x", "Error response from daemon: Invalid filter 'stars=x'"),
            ("nosuch=1", "Error response from daemon: Invalid filter 'nosuch'"),
            ("is-official=2", "Error response from daemon: Invalid filter 'is-official=[2]'"),
            ("x", "bad format of filter (expected name=value)"),
        ] {
            assert_eq!(parse(&[word]).unwrap_err().text, message);
        }
    }
}
