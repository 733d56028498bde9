//! `docker history`: shows how an image came to be.

use clap::{CommandFactory, Parser};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Verb;
use crate::cli::arguments::{Count, options, truth};
use crate::cli::listing::Listing;
use crate::cli::messages::{Failure, SUCCESS, print};
use crate::cli::session::Session;
use crate::cli::units;
use crate::container::HistoryStep;

pub static VERB: Verb = Verb {
    names: &["history", "image history"],
    synopsis: "[OPTIONS] IMAGE",
    about: "Show the history of an image",
    arguments: Count::Exactly(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const MISSING: &str = "<missing>";
/// How much of a command is shown.
const COMMAND_WIDTH: usize = 45;

const TABLE: &str = r"table {{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const TABLE_FOR_PROGRAMS: &str = r"table {{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}";
const IDS: &str = "{{.ID}}";

const LISTING: Listing = Listing {
    kind: "*image.historyContext",
    headings: &[
        ("ID", "IMAGE"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("CreatedBy", "CREATED BY"),
        ("Size", "SIZE"),
        ("Comment", "COMMENT"),
    ],
};

#[derive(Parser)]
struct Options {
    /// Pretty-print images using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true")]
    #[arg(value_parser = truth, action = clap::ArgAction::Set, value_name = "bool")]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    image: Option<String>,
}

impl Options {
    fn format(&self) -> &str {
        match &self.format {
            Some(format) if !format.is_empty() && format != "table" => format,
            _ if self.quiet => IDS,
            _ if !self.human => TABLE_FOR_PROGRAMS,
            _ => TABLE,
        }
    }
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let steps = session.engine()?.history(options.image.as_deref().unwrap_or_default())?;
    let now = Timestamp::now();
    let lines: Vec<_> = steps.iter().map(|step| line(step, &options, now)).collect();
    print(&LISTING.render(options.format(), &lines)?)?;
    Ok(SUCCESS)
}

fn line(step: &HistoryStep, options: &Options, now: Timestamp) -> Map<String, Value> {
    let created_at = step.created.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let created_by = step.created_by.replace('\t', " ");
    let id = match &step.id {
        None => MISSING.to_owned(),
        Some(id) if options.no_trunc => id.to_string(),
        Some(id) => id.short().to_owned(),
    };
    let fields = [
        ("Comment", step.comment.clone()),
        ("CreatedAt", created_at.clone()),
        ("CreatedBy", if options.no_trunc { created_by } else { units::ellipsis(&created_by, COMMAND_WIDTH) }),
        ("CreatedSince", if options.human { units::age(step.created, now) } else { created_at }),
        ("ID", id),
        ("Size", if options.human { units::size(step.size_bytes) } else { step.size_bytes.to_string() }),
    ];
    fields.into_iter().map(|(name, text)| (name.to_owned(), json!(text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    fn shown(words: &[&str]) -> String {
        let step = |id: Option<Digest>, command: &str, size_bytes| HistoryStep {
            id,
            created: "2026-11-21T01:23:00.5Z".parse().unwrap(),
            created_by: command.to_owned(),
            size_bytes,
            comment: String::new(),
        };
        let id = Digest::from_hex(&"46e255dc529a".repeat(6)[..64]).unwrap();
        let copy = "/bin/sh -c #(nop) COPY file:5414ae37596827ff846445bae188578a2679cb63199993acb9be2519 in /x";
        let steps = [step(Some(id), "sh -c echo hi > /hi", 3), step(None, copy, 4_330_022)];
        let options = Options::parse_from([&["history"], words].concat());
        let now = "2026-11-21T01:51:00Z".parse().unwrap();
        let lines: Vec<_> = steps.iter().map(|step| line(step, &options, now)).collect();
        LISTING.render(options.format(), &lines).unwrap()
    }

    #[test]
    fn a_history_looks_as_docker_prints_it() {
        let table = "\
IMAGE          CREATED          CREATED BY                                      SIZE      COMMENT
46e255dc529a   28 minutes ago   sh -c echo hi > /hi                             3B        
<missing>      28 minutes ago   /bin/sh -c #(nop) COPY file:5414ae37596827ff…   4.33MB    
";
        assert_eq!(shown(&[]), table);
        assert_eq!(shown(&["-q"]), "46e255dc529a\n<missing>\n");
        let json = r#"{"Comment":"","CreatedAt":"2026-11-21T01:23:00Z","CreatedBy":"sh -c echo hi \u003e /hi","CreatedSince":"2026-11-21T01:23:00Z","ID":"46e255dc529a","Size":"3"}"#;
        assert_eq!(shown(&["-H=false", "--format", "{{json .}}"]).lines().next(), Some(json));
    }
}
