//! `docker ps`: lists containers.

use std::collections::BTreeMap;

use clap::{CommandFactory, Parser};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::Verb;
use crate::cli::arguments::{Count, options, whole_number};
use crate::cli::filters::{Filter, filter};
use crate::cli::listing::{self, Listing};
use crate::cli::messages::{Failure, SUCCESS, print};
use crate::cli::ps_filter::Filters;
use crate::cli::session::Session;
use crate::cli::template::LABELS;
use crate::cli::{ports, units};
use crate::container::config::{ContainerConfig, LOCAL, State};
use crate::container::{Container, Engine};
use crate::image::Reference;

pub static VERB: Verb = Verb {
    names: &["ps", "container ls"],
    synopsis: "[OPTIONS]",
    about: "List containers",
    arguments: Count::None,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const TABLE: &str = r"table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const SIZE_COLUMN: &str = r"\t{{.Size}}";
const IDS: &str = "{{.ID}}";
const COMMAND_LENGTH: usize = 20;
const MOUNT_LENGTH: usize = 15;

const LISTING: Listing = Listing {
    kind: "*formatter.ContainerContext",
    headings: &[
        ("ID", "CONTAINER ID"),
        ("Image", "IMAGE"),
        ("Command", "COMMAND"),
        ("CreatedAt", "CREATED AT"),
        ("RunningFor", "CREATED"),
        ("Ports", "PORTS"),
        ("State", "STATE"),
        ("Status", "STATUS"),
        ("Size", "SIZE"),
        ("Names", "NAMES"),
        ("Labels", "LABELS"),
        ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"),
        ("Networks", "NETWORKS"),
    ],
};

#[derive(Parser, Default)]
struct Options {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = filter)]
    filter: Vec<Filter>,
    /// Pretty-print containers using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "int", default_value = "-1", value_parser = whole_number, allow_hyphen_values = true)]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

impl Options {
    fn format(&self) -> String {
        match &self.format {
            Some(format) if !format.is_empty() && format != "table" => format.clone(),
            _ if self.quiet => IDS.to_owned(),
            _ if self.size => format!("{TABLE}{SIZE_COLUMN}"),
            _ => TABLE.to_owned(),
        }
    }

    /// At most so many are shown, whether they run or not.
    fn limit(&self) -> Option<usize> {
        if self.latest { Some(1) } else { usize::try_from(self.last).ok().filter(|last| *last > 0) }
    }
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let format = options.format();
    if options.format.is_some() {
        LISTING.check(&format)?;
    }
    let engine = session.engine()?;
    let filters = Filters::new(&options.filter, &engine)?;
    let with_size = options.size || listing::shows(&format, "Size");
    let mut containers = engine.containers()?;
    let shows_all = options.all || options.limit().is_some() || filters.name_states();
    containers.retain(|container| (shows_all || container.config.state.running) && filters.fit(container));
    containers.truncate(options.limit().unwrap_or(usize::MAX));
    let now = Timestamp::now();
    let mut known = BTreeMap::new();
    let lines = containers.iter().map(|container| {
        let size = if with_size { size(engine.container_size_bytes(container)?) } else { String::new() };
        Ok(line(&container.config, image_name(&engine, container, &mut known), size, options.no_trunc, now))
    });
    print(&LISTING.render(&format, &lines.collect::<Result<Vec<_>, Failure>>()?)?)?;
    Ok(SUCCESS)
}

/// The image by the name it was asked for, as long as that still means it; its ID otherwise. `known`: what names mean.
fn image_name<'c>(engine: &Engine, container: &'c Container, known: &mut BTreeMap<&'c str, Option<String>>) -> String {
    let name = container.config.config.image.as_str();
    let meant = known.entry(name).or_insert_with(|| engine.image_id(name).ok().map(|id| id.to_string()));
    if meant.as_ref() == Some(&container.config.image) { name.to_owned() } else { container.config.image.clone() }
}

fn line(config: &ContainerConfig, image: String, size: String, no_trunc: bool, now: Timestamp) -> Map<String, Value> {
    let command = command_line(config);
    let (id, image, command) = if no_trunc {
        (config.id.clone(), image, command)
    } else {
        (config.short_id().to_owned(), familiar(&image), units::ellipsis(&command, COMMAND_LENGTH))
    };
    let labels = config.config.labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let networks = config.network_settings.networks.keys().cloned();
    let published = config.network_settings.ports.as_ref().filter(|_| config.state.running);
    let volumes = config.mount_points.values().filter(|point| point.is_volume());
    let mounts = config.mount_points.values().map(|point| if point.is_volume() { &point.name } else { &point.source });
    let mounts: Vec<String> =
        mounts.map(|name| if no_trunc { name.clone() } else { units::ellipsis(name, MOUNT_LENGTH) }).collect();
    let created = config.created.timestamp();
    let fields = [
        ("Command", format!("{command:?}")),
        ("CreatedAt", units::calendar(created)),
        ("ID", id),
        ("Image", image),
        ("Labels", labels.collect::<Vec<_>>().join(",")),
        ("LocalVolumes", volumes.filter(|point| point.driver == LOCAL).count().to_string()),
        ("Mounts", mounts.join(",")),
        ("Names", config.plain_name().to_owned()),
        ("Networks", networks.collect::<Vec<_>>().join(",")),
        ("Ports", published.map(ports::column).unwrap_or_default()),
        ("RunningFor", units::age(created, now)),
        ("Size", size),
        ("State", config.state.status().to_owned()),
        ("Status", status(&config.state, now)),
    ];
    let fields = fields.into_iter().map(|(field, value)| (field.to_owned(), json!(value)));
    fields.chain([(LABELS.to_owned(), json!(config.config.labels))]).collect()
}

/// Path and arguments; an argument with blanks is put between quotes, nothing is escaped.
fn command_line(config: &ContainerConfig) -> String {
    let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    std::iter::once(config.path.clone()).chain(config.args.iter().map(quoted)).collect::<Vec<_>>().join(" ")
}

/// A name in its short form and without digest; an ID in 12 digits.
fn familiar(image: &str) -> String {
    if image.starts_with("sha256:") {
        return units::short_id(image).to_owned();
    }
    let Ok(reference) = Reference::parse(image) else { return image.to_owned() };
    let name = reference.familiar_name();
    reference.tag().map_or_else(|| name.clone(), |tag| format!("{name}:{tag}"))
}

fn status(state: &State, now: Timestamp) -> String {
    let since = |time: crate::container::config::Time| units::span_since(time.timestamp(), now);
    match state {
        State { running: true, paused: true, .. } => format!("Up {} (Paused)", since(state.started_at)),
        State { running: true, restarting: true, .. } => {
            format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_at))
        }
        State { running: true, .. } => format!("Up {}", since(state.started_at)),
        State { removal_in_progress: true, .. } => "Removal In Progress".to_owned(),
        State { dead: true, .. } => "Dead".to_owned(),
        State { started_at, .. } if started_at.is_zero() => "Created".to_owned(),
        State { finished_at, .. } if finished_at.is_zero() => String::new(),
        State { exit_code, finished_at, .. } => format!("Exited ({exit_code}) {} ago", since(*finished_at)),
    }
}

fn size((writable, with_image): (u64, u64)) -> String {
    let own = units::size(writable);
    if with_image > 0 { format!("{own} (virtual {})", units::size(with_image)) } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::config::{EndpointSettings, PortBinding, PortMap, Time};

    fn time(text: &str) -> Time {
        text.parse::<Timestamp>().unwrap().into()
    }

    fn web() -> ContainerConfig {
        let binding = |ip: &str| PortBinding { host_ip: ip.to_owned(), host_port: "8080".to_owned() };
        let mut config = ContainerConfig {
            id: "36100e4b53ae8cb366f06b4479eef17b98978b904bad5e675aec4dbde3898b78".to_owned(),
            name: "/myhttpd".to_owned(),
            path: "httpd-foreground".to_owned(),
            created: time("2026-11-21T01:25:52.470911998Z"),
            state: State { running: true, started_at: time("2026-11-21T01:25:52.759706061Z"), ..State::default() },
            ..ContainerConfig::default()
        };
        let ports = PortMap::from([("80/tcp".to_owned(), Some(vec![binding("0.0.0.0"), binding("::")]))]);
        config.network_settings.ports = Some(ports);
        config.network_settings.networks.insert("bridge".to_owned(), EndpointSettings::default());
        config
    }

    fn ended() -> ContainerConfig {
        ContainerConfig {
            id: "6aa001e19652e8da60c691acfbdc59be4500fc3148bd185ddcbd62627f5da2da".to_owned(),
            name: "/lgt".to_owned(),
            path: "sh".to_owned(),
            args: ["-c", "echo out; echo err >&2"].map(str::to_owned).to_vec(),
            created: time("2026-11-21T01:25:53Z"),
            state: State {
                exit_code: 137,
                started_at: time("2026-11-21T01:25:53.1Z"),
                finished_at: time("2026-11-21T01:25:53.2Z"),
                ..State::default()
            },
            ..ContainerConfig::default()
        }
    }

    fn shown(options: &Options, size: &str) -> String {
        let now = time("2026-11-21T01:25:54Z").timestamp();
        let lines =
            [web(), ended()].map(|config| line(&config, "httpd".to_owned(), size.to_owned(), options.no_trunc, now));
        LISTING.render(&options.format(), &lines).unwrap()
    }

    #[test]
    fn containers_are_listed_as_docker_listed_them() {
        let expected = "\
CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS                                PORTS                                   NAMES
36100e4b53ae   httpd     \"httpd-foreground\"       2 seconds ago   Up 1 second                           0.0.0.0:8080->80/tcp, :::8080->80/tcp   myhttpd
6aa001e19652   httpd     \"sh -c 'echo out; ec…\"   1 second ago    Exited (137) Less than a second ago                                           lgt
";
        assert_eq!(shown(&Options::default(), ""), expected);
    }

    #[test]
    fn options_choose_columns_and_their_width() {
        let quiet = Options { quiet: true, no_trunc: true, ..Options::default() };
        assert_eq!(shown(&quiet, "").lines().next().unwrap().len(), 64);
        let sizes = Options { size: true, ..Options::default() };
        let text = shown(&sizes, &size((16, 4_329_818)));
        assert!(text.lines().next().unwrap().ends_with("NAMES     SIZE"), "{text}");
        assert!(text.lines().nth(1).unwrap().ends_with("myhttpd   16B (virtual 4.33MB)"), "{text}");
        let json = Options { format: Some("{{json .}}".to_owned()), ..Options::default() };
        let expected = r#"{"Command":"\"sh -c 'echo out; ec…\"","CreatedAt":"2026-11-21 01:25:53 +0000 UTC","ID":"6aa001e19652","Image":"httpd","Labels":"","LocalVolumes":"0","Mounts":"","Names":"lgt","Networks":"","Ports":"","RunningFor":"1 second ago","Size":"0B (virtual 4.33MB)","State":"exited","Status":"Exited (137) Less than a second ago"}"#;
        assert_eq!(shown(&json, "0B (virtual 4.33MB)").lines().nth(1), Some(expected));
    }

    #[test]
    fn an_image_is_shown_by_its_short_name() {
        let rows = [
            ("docker.io/library/httpd", "httpd"),
            ("httpd:2.4", "httpd:2.4"),
            ("sha256:0f689490f8de3756792030427df888cdeacc31fe09d58d3813853c8ae13d9373", "0f689490f8de"),
            ("ubuntu@sha256:0f689490f8de3756792030427df888cdeacc31fe09d58d3813853c8ae13d9373", "ubuntu"),
        ];
        for (image, expected) in rows {
            assert_eq!(familiar(image), expected);
        }
    }
}
