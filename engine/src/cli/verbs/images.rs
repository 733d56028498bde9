//! `docker images`: lists images, one line per name.

use clap::{CommandFactory, Parser};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::filters::{Filter, filter};
use crate::cli::image_filter::Filters;
use crate::cli::listing::Listing;
use crate::cli::messages::{Failure, SUCCESS, print};
use crate::cli::session::Session;
use crate::cli::units;
use crate::container::ImageSummary;
use crate::container::config::Time;
use crate::image::Reference;

pub static VERB: Verb = Verb {
    names: &["images", "image ls"],
    synopsis: "[OPTIONS] [REPOSITORY[:TAG]]",
    about: "List images",
    arguments: Count::AtMost(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const NONE: &str = "<none>";
const UNKNOWN: &str = "N/A";

const TABLE: &str = r"table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const TABLE_WITH_DIGESTS: &str = r"table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const IDS: &str = "{{.ID}}";

const LISTING: Listing = Listing {
    kind: "*formatter.imageContext",
    headings: &[
        ("ID", "IMAGE ID"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Digest", "DIGEST"),
        ("CreatedSince", "CREATED"),
        ("CreatedAt", "CREATED AT"),
        ("Size", "SIZE"),
        ("Containers", "CONTAINERS"),
        ("VirtualSize", "SIZE"),
        ("SharedSize", "SHARED SIZE"),
        ("UniqueSize", "UNIQUE SIZE"),
    ],
};

#[derive(Parser, Default)]
struct Options {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<Filter>,
    /// Pretty-print images using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    pattern: Option<String>,
}

impl Options {
    fn format(&self) -> &str {
        match &self.format {
            Some(format) if !format.is_empty() && format != "table" => format,
            _ if self.quiet => IDS,
            _ if self.digests => TABLE_WITH_DIGESTS,
            _ => TABLE,
        }
    }
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let engine = session.engine()?;
    let created = |name: &str| Ok(engine.image(name)?.created());
    let filters = Filters::new(&options.filter, options.pattern.as_deref(), created)?;
    let images = filters.choose(&engine, engine.images()?, options.all)?;
    print(&LISTING.render(options.format(), &lines(&images, &options, Timestamp::now()))?)?;
    Ok(SUCCESS)
}

/// A name of an image, as a line shows it.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    repository: String,
    tag: String,
    digest: String,
}

fn lines(images: &[ImageSummary], options: &Options, now: Timestamp) -> Vec<Map<String, Value>> {
    let with_digests = options.digests || options.format().contains("{{.Digest}}");
    images
        .iter()
        .flat_map(|image| names(image, with_digests).into_iter().map(move |name| (image, name)))
        .map(|(image, name)| line(image, name, options.no_trunc, now))
        .collect()
}

fn is_named(image: &ImageSummary) -> bool {
    !image.tags.is_empty() || !image.digests.is_empty()
}

/// A tag gives a line, or one for each digest of its repository when digests are shown; a digest whose repository has
/// no tag gives a line of its own.
fn names(image: &ImageSummary, with_digests: bool) -> Vec<Name> {
    let none = || NONE.to_owned();
    if !is_named(image) {
        return vec![Name { repository: none(), tag: none(), digest: none() }];
    }
    let pinned: Vec<(String, String)> = image.digests.iter().filter_map(|name| name_and_digest(name)).collect();
    let mut names = Vec::new();
    let mut tagged = Vec::new();
    for reference in image.tags.iter().filter_map(|name| Reference::parse(name).ok()) {
        let repository = reference.familiar_name();
        let tag = reference.tag().unwrap_or(NONE).to_owned();
        let mut digests: Vec<String> = pinned
            .iter()
            .filter(|(name, _)| with_digests && *name == repository)
            .map(|(_, digest)| digest.clone())
            .collect();
        if digests.is_empty() {
            digests.push(none());
        }
        names.extend(digests.into_iter().map(|digest| Name {
            repository: repository.clone(),
            tag: tag.clone(),
            digest,
        }));
        tagged.push(repository);
    }
    for (repository, digest) in pinned {
        let is_shown =
            tagged.contains(&repository) || (!with_digests && names.iter().any(|name| name.repository == repository));
        if !is_shown {
            names.push(Name { repository, tag: none(), digest });
        }
    }
    names
}

fn name_and_digest(name: &str) -> Option<(String, String)> {
    let reference = Reference::parse(name).ok()?;
    Some((reference.familiar_name(), reference.digest()?.to_string()))
}

fn line(image: &ImageSummary, name: Name, no_trunc: bool, now: Timestamp) -> Map<String, Value> {
    let id = if no_trunc { image.id.to_string() } else { image.id.short().to_owned() };
    let is_dated = !Time::from(image.created).is_zero();
    let date = |text: String| if is_dated { text } else { UNKNOWN.to_owned() };
    let fields = [
        ("Containers", UNKNOWN.to_owned()),
        ("CreatedAt", date(units::calendar(image.created))),
        ("CreatedSince", date(units::age(image.created, now))),
        ("Digest", name.digest),
        ("ID", id),
        ("Repository", name.repository),
        ("SharedSize", UNKNOWN.to_owned()),
        ("Size", units::size(image.size_bytes)),
        ("Tag", name.tag),
        ("UniqueSize", UNKNOWN.to_owned()),
        ("VirtualSize", units::precise_size(image.size_bytes)),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), json!(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    const PIN: &str = "sha256:638624fef36e30254a816d1945a4c3a75b343f6a6cd8c3f434126d52e927e7fe";

    fn image(seed: &str, tags: &[&str], digests: &[&str]) -> ImageSummary {
        ImageSummary {
            id: Digest::of(seed.as_bytes()),
            tags: tags.iter().map(|tag| tag.to_string()).collect(),
            digests: digests.iter().map(|name| format!("{name}@{PIN}")).collect(),
            created: "2026-11-21T01:23:46.2Z".parse().unwrap(),
            size_bytes: 4_329_491,
            parent: None,
        }
    }

    fn shown(images: Vec<ImageSummary>, options: &Options) -> String {
        let now = "2026-11-21T01:51:00Z".parse().unwrap();
        LISTING.render(options.format(), &lines(&images, options, now)).unwrap()
    }

    #[test]
    fn every_name_has_a_line_as_docker_prints_it() {
        let bash = image("bash", &["127.0.0.1:5000/library/bash:latest", "bash:latest"], &["bash"]);
        let ubuntu = image("ubuntu", &[], &["ubuntu"]);
        let (bash_id, ubuntu_id) = (bash.id.short().to_owned(), ubuntu.id.short().to_owned());
        let expected = format!(
            "\
REPOSITORY                    TAG       IMAGE ID       CREATED          SIZE
127.0.0.1:5000/library/bash   latest    {bash_id}   27 minutes ago   4.33MB
bash                          latest    {bash_id}   27 minutes ago   4.33MB
ubuntu                        <none>    {ubuntu_id}   27 minutes ago   4.33MB
"
        );
        assert_eq!(shown(vec![bash, ubuntu], &Options::default()), expected);
    }

    #[test]
    fn json_and_digests_are_as_recorded() {
        let format = Some("{{json .}}".to_owned());
        let bash = image("bash", &["bash:latest"], &["bash"]);
        let id = bash.id.short().to_owned();
        let expected = format!(
            "{{\"Containers\":\"N/A\",\"CreatedAt\":\"2026-11-21 01:23:46 +0000 UTC\",\"CreatedSince\":\"27 minutes \
             ago\",\"Digest\":\"\\u003cnone\\u003e\",\"ID\":\"{id}\",\"Repository\":\"bash\",\"SharedSize\":\"N/A\",\"Size\":\"4.33MB\",\
             \"Tag\":\"latest\",\"UniqueSize\":\"N/A\",\"VirtualSize\":\"4.329MB\"}}\n"
        );
        assert_eq!(shown(vec![bash.clone()], &Options { format, ..Options::default() }), expected);
        let format = Some("{{.Tag}} {{.Digest}}".to_owned());
        assert_eq!(shown(vec![bash], &Options { format, ..Options::default() }), format!("latest {PIN}\n"));
    }

    #[test]
    fn an_image_without_a_date_says_so() {
        let undated = ImageSummary { created: Time::ZERO.timestamp(), ..image("x", &["x:1"], &[]) };
        let options = Options { format: Some("{{.CreatedSince}}".to_owned()), ..Options::default() };
        assert_eq!(shown(vec![undated], &options), "N/A\n");
    }
}
