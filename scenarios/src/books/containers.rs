//! Containers as the books have them: name, state, and the two layers each has of its own.

use std::path::Path;

use serde::Deserialize;

use super::{Faults, bare, names};

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// Without the slash in front.
    pub name: String,
    /// The image it was made of, as it was called then.
    pub image: String,
    /// What it does.
    pub state: State,
    /// Directory of the writable layer.
    pub mount_id: String,
    /// Directory of the layer that holds Docker's own mount points.
    pub init_id: Option<String>,
    /// Chain ID of the image's top layer.
    pub parent: Option<String>,
    /// How many files and directories the writable layer holds.
    pub writable_entries: usize,
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Made and never started.
    Created,
    /// Its first process lives.
    Running,
    /// Frozen.
    Paused,
    /// Its first process ended with this code.
    Exited(i64),
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            State::Created => f.write_str("created"),
            State::Running => f.write_str("running"),
            State::Paused => f.write_str("paused"),
            State::Exited(code) => write!(f, "exited ({code})"),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Record {
    #[serde(default)]
    name: String,
    #[serde(default)]
    config: Option<Config>,
    #[serde(default)]
    state: StateRecord,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    image: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct StateRecord {
    running: bool,
    paused: bool,
    exit_code: i64,
    started_at: String,
}

impl StateRecord {
    fn state(&self) -> State {
        match self {
            StateRecord { paused: true, .. } => State::Paused,
            StateRecord { running: true, .. } => State::Running,
            // Go's zero time stands for never.
            StateRecord { started_at, .. } if started_at.is_empty() || started_at.starts_with("0001-") => {
                State::Created
            }
            StateRecord { exit_code, .. } => State::Exited(*exit_code),
        }
    }
}

/// Reads the containers whose files `driver` holds.
pub(super) fn read(data_root: &Path, driver: &str, faults: &mut Faults) -> Vec<Container> {
    let mounts = data_root.join("image").join(driver).join("layerdb/mounts");
    let mut containers = Vec::new();
    for id in names(&mounts) {
        let record: Option<Record> = faults.json(&data_root.join("containers").join(&id).join("config.v2.json"));
        let mut text = |name: &str| faults.text(&mounts.join(&id).join(name));
        let mount_id = text("mount-id").unwrap_or_default();
        let init_id = text("init-id");
        let parent = text("parent").map(|id| bare(&id));
        let (name, image, state) = match record {
            Some(record) => (
                record.name.trim_start_matches('/').to_owned(),
                record.config.map(|config| config.image).unwrap_or_default(),
                record.state.state(),
            ),
            None => (String::new(), String::new(), State::Created),
        };
        let writable_entries = writable_entries(&data_root.join(driver).join(&mount_id));
        containers.push(Container { id, name, image, state, mount_id, init_id, parent, writable_entries });
    }
    containers.sort_by_cached_key(|container| (container.name.clone(), container.id.clone()));
    containers
}

/// overlay2 keeps what was written in `diff`, overlay in `upper`.
fn writable_entries(directory: &Path) -> usize {
    let upper = ["diff", "upper"].map(|name| directory.join(name)).into_iter().find(|upper| upper.is_dir());
    upper.map_or(0, |upper| walkdir::WalkDir::new(upper).min_depth(1).into_iter().flatten().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_docker_writes_it() {
        let state = |text: &str| serde_json::from_str::<StateRecord>(text).unwrap().state();
        assert_eq!(state(r#"{"StartedAt":"0001-01-01T00:00:00Z"}"#), State::Created);
        assert_eq!(state(r#"{"Running":true,"StartedAt":"2020-01-01T00:00:00Z"}"#), State::Running);
        assert_eq!(state(r#"{"Running":true,"Paused":true}"#), State::Paused);
        assert_eq!(state(r#"{"ExitCode":3,"StartedAt":"2020-01-01T00:00:00Z"}"#).to_string(), "exited (3)");
    }

    #[test]
    fn a_container_has_its_writable_layer_counted_for_either_driver() {
        for (driver, upper) in [("overlay2", "diff"), ("overlay", "upper")] {
            let root = tempfile::tempdir().unwrap();
            let mount = root.path().join("image").join(driver).join("layerdb/mounts/cc");
            std::fs::create_dir_all(&mount).unwrap();
            std::fs::write(mount.join("mount-id"), "mm").unwrap();
            std::fs::write(mount.join("parent"), "sha256:aa").unwrap();
            std::fs::create_dir_all(root.path().join(driver).join("mm").join(upper).join("etc")).unwrap();
            let container = read(root.path(), driver, &mut Faults::default()).remove(0);
            assert_eq!((container.mount_id.as_str(), container.parent.as_deref()), ("mm", Some("aa")));
            assert_eq!(container.writable_entries, 1, "{driver}");
        }
    }
}
