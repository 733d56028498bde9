//! An image's configuration: what its containers run, and the diff IDs and history of its layers.
//!
//! The digest of a configuration's bytes is the image's ID, so the bytes are kept as they came. The parsed view is
//! Docker's `image.Image` (a superset of the OCI image-spec's `config.md`); writing it gives what dockerd writes.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{Digest, go_json};

/// A configuration: its bytes, and the view of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    raw: Vec<u8>,
    view: ConfigView,
}

/// Bytes that are no image configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("image configuration {id}: {}", go_json::reason(source))]
    Parse { id: Digest, source: serde_json::Error },
    #[error("invalid rootfs in image configuration {id}: expected type \"layers\", found {found:?}")]
    RootFs { id: Digest, found: String },
    #[error("cannot write an image configuration: {}", go_json::reason(.0))]
    Write(#[from] serde_json::Error),
}

impl ImageConfig {
    /// Reads bytes as they came from a registry, an archive or the store.
    pub fn from_raw(raw: Vec<u8>) -> Result<ImageConfig, ConfigError> {
        let view: ConfigView =
            serde_json::from_slice(&raw).map_err(|source| ConfigError::Parse { id: Digest::of(&raw), source })?;
        if view.rootfs.kind != "layers" {
            return Err(ConfigError::RootFs { id: Digest::of(&raw), found: view.rootfs.kind });
        }
        Ok(ImageConfig { raw, view })
    }

    /// Writes `view` as dockerd would.
    pub fn from_view(view: ConfigView) -> Result<ImageConfig, ConfigError> {
        Ok(ImageConfig { raw: view.to_docker_json()?, view })
    }

    /// The image's ID.
    pub fn id(&self) -> Digest {
        Digest::of(&self.raw)
    }

    /// The exact bytes, whose digest is the ID.
    pub fn raw(&self) -> &[u8] {
        &self.raw
    }

    /// What the bytes say.
    pub fn view(&self) -> &ConfigView {
        &self.view
    }
}

/// The fields of a configuration; those that are not known here are kept in `extra`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigView {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub architecture: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub author: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub comment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<RunConfig>,
    /// The full ID of the container the image was committed from.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub container: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_config: Option<RunConfig>,
    /// RFC 3339 with as many fractional digits as are needed.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub created: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub docker_version: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub history: Vec<History>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub os: String,
    pub rootfs: RootFs,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub variant: String,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ConfigView {
    /// The bytes dockerd writes for this view: its top level goes through a Go map, hence in alphabetical order.
    fn to_docker_json(&self) -> serde_json::Result<Vec<u8>> {
        let Value::Object(fields) = serde_json::to_value(self)? else { return go_json::to_vec(self) };
        go_json::to_vec(&fields.into_iter().collect::<BTreeMap<String, Value>>())
    }
}

/// One step of the image's making; a step without `empty_layer` made the next diff ID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub created: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub author: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub created_by: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub comment: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub empty_layer: bool,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The layers, from the base up, by the digests of their uncompressed tars.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RootFs {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub diff_ids: Vec<Digest>,
}

/// Docker's container `Config`: what to run and how; in an image the defaults, in a container the facts.
///
/// `None` is Go's nil and written as `null`; fields that Go leaves out when empty are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct RunConfig {
    #[serde(deserialize_with = "null_as_default")]
    pub hostname: String,
    #[serde(deserialize_with = "null_as_default")]
    pub domainname: String,
    #[serde(deserialize_with = "null_as_default")]
    pub user: String,
    #[serde(deserialize_with = "null_as_default")]
    pub attach_stdin: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub attach_stdout: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub attach_stderr: bool,
    /// `80/tcp` and the like.
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub exposed_ports: BTreeMap<String, Empty>,
    #[serde(deserialize_with = "null_as_default")]
    pub tty: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub open_stdin: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub stdin_once: bool,
    /// `NAME=value` each.
    pub env: Option<Vec<String>>,
    #[serde(deserialize_with = "words")]
    pub cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub args_escaped: bool,
    /// The image as it was named when the container was made.
    #[serde(deserialize_with = "null_as_default")]
    pub image: String,
    pub volumes: Option<BTreeMap<String, Empty>>,
    #[serde(deserialize_with = "null_as_default")]
    pub working_dir: String,
    #[serde(deserialize_with = "words")]
    pub entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub network_disabled: bool,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub mac_address: String,
    pub on_build: Option<Vec<String>>,
    pub labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub stop_signal: String,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "no_words", deserialize_with = "words")]
    pub shell: Option<Vec<String>>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A health check; durations in nanoseconds, 0 meaning inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Healthcheck {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "null_as_default")]
    pub test: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub interval: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub timeout: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub start_period: i64,
    #[serde(skip_serializing_if = "is_default")]
    pub retries: i64,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Go's `struct{}`, written `{}`: the value of a set's member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Empty {}

/// Anything will do, as for Go: some images have `null`.
impl<'de> Deserialize<'de> for Empty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Empty, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Empty {})
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn no_words(words: &Option<Vec<String>>) -> bool {
    words.as_ref().is_none_or(Vec::is_empty)
}

fn null_as_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A list of words, or one word alone as very old images have it.
fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        List(Vec<String>),
        One(String),
    }
    Ok(Option::<Words>::deserialize(deserializer)?.map(|words| match words {
        Words::List(list) => list,
        Words::One(word) => vec![word],
    }))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
