//! `docker inspect`: everything about images and containers, as JSON or through a template.

use clap::{CommandFactory, Parser};
use serde_json::Value;

use super::Verb;
use crate::cli::arguments::{Count, options};
use crate::cli::inspection;
use crate::cli::messages::{BAD_TEMPLATE, Failure, all_said, print};
use crate::cli::session::Session;
use crate::cli::template::{Subject, Template};
use crate::container::{Engine, EngineError};

const CONTAINER: &str = "container";
const IMAGE: &str = "image";
pub(super) const VOLUME: &str = "volume";

pub static VERB: Verb = INSPECT;

const INSPECT: Verb = Verb {
    names: &["inspect"],
    synopsis: "[OPTIONS] NAME|ID [NAME|ID...]",
    about: "Return low-level information on Docker objects",
    arguments: Count::AtLeast(1),
    hidden: false,
    command: Options::command,
    run: |session, matches| run(session, options(matches)?),
};

pub static CONTAINER_VERB: Verb = Verb {
    names: &["container inspect"],
    synopsis: "[OPTIONS] CONTAINER [CONTAINER...]",
    about: "Display detailed information on one or more containers",
    command: ContainerOptions::command,
    run: |session, matches| {
        let ContainerOptions { format, size, names } = options(matches)?;
        show(session, format, CONTAINER, size, &names)
    },
    ..INSPECT
};

pub static IMAGE_VERB: Verb = Verb {
    names: &["image inspect"],
    synopsis: "[OPTIONS] IMAGE [IMAGE...]",
    about: "Display detailed information on one or more images",
    command: ImageOptions::command,
    run: |session, matches| {
        let ImageOptions { format, names } = options(matches)?;
        show(session, format, IMAGE, false, &names)
    },
    ..INSPECT
};

#[derive(Parser)]
struct Options {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
    /// Return JSON for specified type
    #[arg(long = "type", value_name = "string")]
    kind: Option<String>,
    names: Vec<String>,
}

#[derive(Parser)]
struct ContainerOptions {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
    names: Vec<String>,
}

#[derive(Parser)]
struct ImageOptions {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    names: Vec<String>,
}

fn run(session: &Session, options: Options) -> Result<u8, Failure> {
    let kind = options.kind.as_deref().unwrap_or_default();
    if !["", CONTAINER, IMAGE, VOLUME].contains(&kind) {
        return Err(Failure::new(format!("{kind:?} is not a valid value for --type")));
    }
    show(session, options.format, kind, options.size, &options.names)
}

/// Shows the objects of that kind, or of any, through the template if there is one.
pub(super) fn show(
    session: &Session,
    format: Option<String>,
    kind: &str,
    with_size: bool,
    names: &[String],
) -> Result<u8, Failure> {
    let format = format.filter(|format| !format.is_empty());
    let template = format.map(|format| Template::parse(&format)).transpose();
    let template = template.map_err(|error| Failure::with_code(error.to_string(), BAD_TEMPLATE))?;
    let engine = session.engine()?;
    let mut failures = Vec::new();
    let mut found = Vec::new();
    for name in names {
        match inspect(&engine, name, kind, with_size) {
            Ok(object) => found.push(object),
            Err(failure) => failures.push(failure.text),
        }
    }
    match &template {
        None => print(&inspection::indented(&Value::from(found)).map_err(unwritable)?)?,
        Some(template) => print(&rendered(template, &found, &mut failures))?,
    }
    all_said(failures)
}

/// A line for each object that the template can be carried out on, and one empty line when there is none.
///
/// A template may ask for a field that the JSON leaves out, such as the ports of an image that exposes none.
fn rendered(template: &Template, found: &[Value], failures: &mut Vec<String>) -> String {
    let mut text = String::new();
    for object in found {
        let line = template.render(object, Subject::Document);
        let line = line
            .or_else(|error| template.render(&inspection::with_omitted(object), Subject::Document).map_err(|_| error));
        match line {
            Ok(line) => text.push_str(&(line + "\n")),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if text.is_empty() { "\n".to_owned() } else { text }
}

/// A container by that name, or else an image, or else a volume, unless only one kind is asked for.
fn inspect(engine: &Engine, name: &str, kind: &str, with_size: bool) -> Result<Value, Failure> {
    let warned = |kind: &str, value: Value| {
        if with_size {
            eprintln!("WARNING: --size ignored for {kind}");
        }
        value
    };
    let volume = |missing| volume(engine, name, missing).map(|value| warned(VOLUME, value));
    if kind == VOLUME {
        return volume(VOLUME);
    }
    if kind != IMAGE {
        match container(engine, name, with_size) {
            Err(Missing::Object) if kind == CONTAINER => return Err(Failure::missing(CONTAINER, name)),
            Err(Missing::Object) => {}
            Err(Missing::Failed(failure)) => return Err(failure),
            Ok(value) => return Ok(value),
        }
    }
    match engine.image(name) {
        Ok(image) => inspection::image(&image).map(|value| warned(IMAGE, value)).map_err(unwritable),
        Err(EngineError::NoSuchImage(_)) if kind != IMAGE => volume("object"),
        Err(EngineError::NoSuchImage(_)) => Err(Failure::missing(IMAGE, name)),
        // Words that cannot name an image may still have been meant for something else.
        Err(EngineError::Reference(_)) if kind != IMAGE => volume("object"),
        Err(EngineError::Reference(_)) if name.is_empty() => Err(Failure::missing(IMAGE, name)),
        Err(EngineError::Reference(reason)) => {
            Err(Failure::new(format!("Error response from daemon: no such image: {name}: {reason}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// A volume by that name; `kind` is what is said to be missing.
fn volume(engine: &Engine, name: &str, kind: &str) -> Result<Value, Failure> {
    match engine.volume(name) {
        Ok(volume) => Ok(inspection::volume(&volume)),
        Err(EngineError::NoSuchVolume(_)) => Err(Failure::missing(kind, name)),
        Err(error) => Err(error.into()),
    }
}

/// Why there is no container to show.
enum Missing {
    Object,
    Failed(Failure),
}

impl From<EngineError> for Missing {
    fn from(error: EngineError) -> Missing {
        match error {
            EngineError::NoSuchContainer(_) => Missing::Object,
            other => Missing::Failed(other.into()),
        }
    }
}

fn container(engine: &Engine, name: &str, with_size: bool) -> Result<Value, Missing> {
    let container = engine.container(name)?;
    let graph = engine.container_graph(&container)?;
    let sizes = if with_size { Some(engine.container_size_bytes(&container)?) } else { None };
    inspection::container(&container, &graph, &engine.mount_points(&container), sizes)
        .map_err(|error| Missing::Failed(unwritable(error)))
}

fn unwritable(error: serde_json::Error) -> Failure {
    Failure::new(format!("cannot write the result as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_template_that_fails_leaves_an_empty_line() {
        let template = Template::parse("{{.NoSuch}}").unwrap();
        let mut failures = Vec::new();
        assert_eq!(rendered(&template, &[json!({"Id": "x"})], &mut failures), "\n");
        let text =
            "template parsing error: template: :1:2: executing \"\" at <.NoSuch>: map has no entry for key \"NoSuch\"";
        assert_eq!(failures, [text]);
        let template = Template::parse("{{.Id}}").unwrap();
        assert_eq!(rendered(&template, &[json!({"Id": "x"}), json!({"Id": "y"})], &mut Vec::new()), "x\ny\n");
    }

    #[test]
    fn a_field_that_the_json_leaves_out_is_empty() {
        let template = Template::parse("{{json .Config.ExposedPorts}}{{if .Config.Healthcheck}}x{{end}}").unwrap();
        let mut failures = Vec::new();
        assert_eq!(rendered(&template, &[json!({"Config": {}})], &mut failures), "null\n");
        assert_eq!(failures, [""; 0]);
    }
}
