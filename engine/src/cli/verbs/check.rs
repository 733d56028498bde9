//! `layerlab check`: whether a data root is sound, what of it is not, and mending that. Docker has nothing like it.

use clap::{CommandFactory, Parser};
use serde_json::{Map, Value, json};

use super::Verb;
use crate::check::{About, CheckError, Finding, Means, PassedOver, Place, RepairError, Report, check, repair};
use crate::cli::arguments::{Count, options};
use crate::cli::listing::Listing;
use crate::cli::messages::{FAILED, Failure, SUCCESS, print, print_line};
use crate::cli::session::Session;
use crate::container::{self, Engine, Settings};

pub static VERB: Verb = Verb {
    names: &["check"],
    synopsis: "[OPTIONS] [IMAGE...]",
    about: "Check that images, layers and containers on disk are sound",
    arguments: Count::Any,
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

const LISTING: Listing = Listing {
    kind: "check.finding",
    headings: &[
        ("Fault", "FAULT"),
        ("What", "WHAT"),
        ("Where", "WHERE"),
        ("Meaning", "MEANING"),
        ("Mendable", "MENDABLE"),
        ("Remedy", "REMEDY"),
        ("Layer", "LAYER"),
        ("Image", "IMAGE"),
    ],
};

/// What Docker's newer versions take for one JSON object a line.
const JSON: &str = "json";

#[derive(Parser)]
struct Options {
    /// Pretty-print findings using a Go template, or as JSON
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Mend what can be mended, and nothing else
    #[arg(long)]
    repair: bool,
    images: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let settings = session.settings();
    // Where the containers' mounts are seen, and the owners of their files.
    drop(container::enter_namespaces(&settings)?);
    let place = Place::find(&settings.data_root, &settings.exec_root, settings.storage_driver.as_deref());
    let place = place.map_err(failed)?;
    let report = match options.repair {
        true => mended(&settings, &place, &options),
        false => check(&place, &options.images),
    };
    let report = report.map_err(failed)?;
    match options.format.as_deref().filter(|format| !format.is_empty()) {
        Some(format) => {
            report.passed_over.iter().for_each(|passed_over| eprintln!("{}", words(passed_over)));
            let format = if format == JSON { "{{json .}}" } else { format };
            print(&LISTING.render(format, &report.findings.iter().map(line).collect::<Vec<_>>())?)?;
        }
        None => print(&text(&place, &report))?,
    }
    Ok(if report.findings.is_empty() { SUCCESS } else { FAILED })
}

/// Mends, telling of each fault what came of it; on the standard error where the output is for programs.
fn mended(settings: &Settings, place: &Place, options: &Options) -> Result<Report, CheckError> {
    let is_for_programs = options.format.as_deref().is_some_and(|format| !format.is_empty());
    let tell = |finding: &Finding, failure: Option<&RepairError>| {
        let line = match failure {
            None => format!("mended: {}: {}", finding.what, finding.remedy.words()),
            Some(error) => format!("not mended: {}: {error}", finding.what),
        };
        if is_for_programs || print_line(&line).is_err() {
            eprintln!("{line}");
        }
    };
    let recover = || {
        let engine = Engine::open(settings.clone()).map_err(|error| error.to_string())?;
        engine.finish_what_was_cut_off().map_err(|error| error.to_string())
    };
    let (registry, squash_owners) = (&settings.registry, settings.squash_owners);
    repair(place, &options.images, &Means { registry, squash_owners, recover: &recover, tell: &tell })
}

fn failed(error: CheckError) -> Failure {
    Failure::new(format!("Error: {error}"))
}

fn line(finding: &Finding) -> Map<String, Value> {
    let (layer, image) = match &finding.about {
        Some(About::Layer(layer)) => (layer.to_string(), String::new()),
        Some(About::Image(image)) => (String::new(), image.to_string()),
        None => (String::new(), String::new()),
    };
    let fields = [
        ("Fault", json!(finding.fault.word())),
        ("What", json!(finding.what)),
        ("Where", json!(finding.path.to_string_lossy())),
        ("Meaning", json!(finding.fault.meaning())),
        ("Mendable", json!(finding.remedy.is_mending())),
        ("Remedy", json!(finding.remedy.words())),
        ("Layer", json!(layer)),
        ("Image", json!(image)),
    ];
    fields.into_iter().map(|(field, value)| (field.to_owned(), value)).collect()
}

fn text(place: &Place, report: &Report) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let way = if finding.remedy.is_mending() { "--repair" } else { "advice" };
        text += &format!(
            "{}: {}\n  where:    {}\n  meaning:  {}\n  {:<9} {}\n",
            finding.fault.word(),
            finding.what,
            finding.path.display(),
            finding.fault.meaning(),
            format!("{way}:"),
            finding.remedy.words(),
        );
    }
    let mendable = report.findings.iter().filter(|finding| finding.remedy.is_mending()).count();
    let found = match report.findings.len() {
        0 => "no fault found".to_owned(),
        count => format!("{}, of which --repair mends {mendable}", counted(count, "fault")),
    };
    let seen = [(report.images, "image"), (report.layers, "layer"), (report.containers, "container")];
    let seen: Vec<String> = seen.map(|(count, word)| counted(count, word)).to_vec();
    for passed_over in &report.passed_over {
        text += &format!("{}\n", words(passed_over));
    }
    if report.is_dockerds {
        text += "a dockerd works here: what it makes just now looks like what is left over, so that leftovers were not looked for\n";
    }
    text + &format!("{} ({}): {}: {found}\n", place.data_root.display(), report.driver, seen.join(", "))
}

fn words(passed_over: &PassedOver) -> String {
    format!("not compared: the layer {}: {}", passed_over.layer.short(), passed_over.why)
}

fn counted(count: usize, word: &str) -> String {
    format!("{count} {word}{}", if count == 1 { "" } else { "s" })
}
