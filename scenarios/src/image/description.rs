//! The text description of one image: what a file under `scenarios/images/` may say, read and checked before anything is built.
//!
//! The format itself is explained for its writers in `scenarios/images/README.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;
use regex::Regex;
use serde::Deserialize;

use super::ImageError;
use super::entry::{Entry, WrittenEntry, check_layer, expand_applets, give_links_their_files_metadata};

/// One image as its description says, checked; layers still hold `applets` entries, which only a userland can expand.
#[derive(Debug, Clone)]
pub struct Description {
    /// Repository, as in `docker pull NAME`: `httpd`.
    pub name: String,
    /// At least one: `latest`.
    pub tags: Vec<String>,
    pub media_types: MediaTypes,
    /// Tags point to an index (manifest list) holding the one manifest, as multi-platform images do.
    pub index: bool,
    /// RFC 3339, as written.
    pub created: String,
    pub author: Option<String>,
    /// Only Docker's own format has this field.
    pub docker_version: Option<String>,
    /// How `docker search` lists it.
    pub listing: Listing,
    pub config: RunConfig,
    /// Oldest first.
    pub history: Vec<Step>,
}

/// What Docker Hub says of an image beside its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    pub description: String,
    pub stars: u64,
    /// One of Docker's own images.
    pub official: bool,
}

/// The family of media types an image is published with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MediaTypes {
    /// `application/vnd.docker.…`, image manifest version 2, schema 2.
    Docker,
    /// `application/vnd.oci.image.…`, OCI image-spec.
    Oci,
}

/// One line of `docker history`.
#[derive(Debug, Clone)]
pub struct Step {
    pub created_by: String,
    pub comment: Option<String>,
    /// `None` for a step that only changed the configuration (`empty_layer`).
    pub layer: Option<Vec<WrittenEntry>>,
}

/// What a container of the image runs with, under Docker's own names (`container.Config` in moby, `config` in image-spec).
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
pub struct RunConfig {
    pub user: String,
    pub exposed_ports: Option<BTreeMap<String, EmptyTable>>,
    pub env: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    pub volumes: Option<BTreeMap<String, EmptyTable>>,
    pub working_dir: String,
    pub entrypoint: Option<Vec<String>>,
    pub on_build: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
    pub stop_signal: Option<String>,
    pub stop_timeout: Option<u32>,
    pub shell: Option<Vec<String>>,
}

/// `{}`: how Go writes a set's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyTable {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenDescription {
    name: String,
    tags: Vec<String>,
    media_types: MediaTypes,
    #[serde(default)]
    index: bool,
    created: String,
    author: Option<String>,
    docker_version: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    stars: u64,
    #[serde(default)]
    official: bool,
    #[serde(default)]
    config: RunConfig,
    history: Vec<WrittenStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenStep {
    created_by: String,
    comment: Option<String>,
    #[serde(default)]
    empty_layer: bool,
    layer: Option<Vec<WrittenEntry>>,
}

impl Description {
    /// Reads and checks the description file at `path`.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML of this shape, or says something no image can be; each error names the file.
    pub fn read(path: &Path) -> Result<Self, ImageError> {
        let text = std::fs::read_to_string(path).map_err(|e| ImageError::io("read", path, e))?;
        Self::parse(path, &text)
    }

    /// Like [`Description::read`] for a text at hand; `path` is only named in errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ImageError> {
        let written: WrittenDescription = toml::from_str(text)
            .map_err(|source| ImageError::Parse { path: path.to_path_buf(), source: Box::new(source) })?;
        written.check().map_err(|what| ImageError::Invalid { path: path.to_path_buf(), what })
    }

    /// The layers, lowest first, with one symlink for each of `applets` where the description asks for them.
    pub fn layers(&self, applets: &[String]) -> Result<Vec<Vec<Entry>>, String> {
        let created = parse_time(&self.created)?;
        self.history.iter().filter_map(|step| step.layer.as_ref()).map(|l| expand_layer(l, created, applets)).collect()
    }
}

impl WrittenDescription {
    fn check(self) -> Result<Description, String> {
        check_name(&self.name)?;
        check_tags(&self.tags)?;
        parse_time(&self.created)?;
        if self.media_types == MediaTypes::Oci {
            check_fits_oci(&self.config, self.docker_version.as_deref())?;
        }
        let history = self.history.into_iter().map(WrittenStep::check).collect::<Result<Vec<_>, _>>()?;
        let description = Description {
            name: self.name,
            tags: self.tags,
            media_types: self.media_types,
            index: self.index,
            created: self.created,
            author: self.author,
            docker_version: self.docker_version,
            listing: Listing { description: self.description, stars: self.stars, official: self.official },
            config: self.config,
            history,
        };
        if description.layers(&[])?.is_empty() {
            return Err("no step of `history` has a `layer`: an image needs at least one".into());
        }
        Ok(description)
    }
}

impl WrittenStep {
    fn check(self) -> Result<Step, String> {
        match (self.empty_layer, &self.layer) {
            (true, Some(_)) => {
                Err(format!("step {:?} says `empty_layer` and has a `layer`: keep one", self.created_by))
            }
            (false, None) => Err(format!("step {:?} needs a `layer` or `empty_layer = true`", self.created_by)),
            _ => Ok(Step { created_by: self.created_by, comment: self.comment, layer: self.layer }),
        }
    }
}

fn expand_layer(written: &[WrittenEntry], created: Timestamp, applets: &[String]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    for one in written {
        match one.applets.as_deref() {
            Some(directory) => entries.extend(expand_applets(one, directory, created, applets)?),
            None => entries.push(one.check(created)?),
        }
    }
    check_layer(&entries)?;
    give_links_their_files_metadata(&mut entries);
    Ok(entries)
}

pub(super) fn parse_time(written: &str) -> Result<Timestamp, String> {
    written.parse().map_err(|e| format!("{written:?} is no RFC 3339 time like 2020-04-23T01:09:45Z: {e}"))
}

fn check_name(name: &str) -> Result<(), String> {
    let component = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*";
    match_whole(&format!("{component}(?:/{component})*"), name).then_some(()).ok_or_else(|| {
        format!("`name` {name:?} is no repository name (lower-case letters, digits and . _ - between them)")
    })
}

fn check_tags(tags: &[String]) -> Result<(), String> {
    let distinct: BTreeSet<_> = tags.iter().collect();
    if tags.is_empty() || distinct.len() != tags.len() {
        return Err("`tags` needs at least one tag and no tag twice".into());
    }
    match tags.iter().find(|tag| !match_whole("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", tag)) {
        Some(tag) => Err(format!("{tag:?} is no tag (letters, digits and . _ -, at most 128 of them)")),
        None => Ok(()),
    }
}

fn match_whole(pattern: &str, text: &str) -> bool {
    Regex::new(&format!("^(?:{pattern})$")).is_ok_and(|regex| regex.is_match(text))
}

/// image-spec's config has no place for these; dropping them silently would make the description a lie.
fn check_fits_oci(config: &RunConfig, docker_version: Option<&str>) -> Result<(), String> {
    let only_docker = [
        ("docker_version", docker_version.is_some()),
        ("OnBuild", config.on_build.is_some()),
        ("StopTimeout", config.stop_timeout.is_some()),
        ("Shell", config.shell.is_some()),
    ];
    match only_docker.iter().find(|(_, given)| *given) {
        Some((field, _)) => {
            Err(format!("`{field}` exists in Docker's format only: drop it, or set media_types = \"docker\""))
        }
        None => Ok(()),
    }
}
