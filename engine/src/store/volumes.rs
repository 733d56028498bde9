//! Volumes on disk: directories that outlive the containers in which they are mounted.
//!
//! On disk, below the data root (source: a recorded dockerd 20.10):
//! ```text
//! volumes/<name>/              0701
//! volumes/<name>/_data/        0755   what containers see
//! volumes/<name>/opts.json            dockerd's: what is to be mounted there first; such a volume is not used here
//! volumes/<name>/labels.json          ours: the labels it was made with
//! ```
//! dockerd keeps labels in `volumes/metadata.db`, a database of its own; it passes `labels.json` over and removes it with the
//! volume. Every other directory below `volumes` that holds `_data` is a volume to both.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{StoreError, atomic, failed, make_directory, no_json};

/// Labels, and other pairs of words.
pub type Pairs = BTreeMap<String, String>;

const DATA: &str = "_data";
const LABELS: &str = "labels.json";
const OPTIONS: &str = "opts.json";

/// What is known of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name: 64 hex digits when nobody gave it one.
    pub name: String,
    /// Where its content lies.
    pub data: PathBuf,
    /// When the directory of its content last changed, which is what Docker calls its creation.
    pub created: jiff::Timestamp,
    /// What it was labelled with; nothing when a container brought it into being without a word.
    pub labels: Option<Pairs>,
    /// What dockerd was told to mount there.
    pub options: Option<Pairs>,
}

/// All volumes below a data root.
pub struct Volumes {
    home: PathBuf,
}

impl Volumes {
    /// The volumes below the directory `home`.
    pub fn open(home: PathBuf) -> Volumes {
        Volumes { home }
    }

    /// Where the content of the volume `name` lies, or would.
    pub fn data(&self, name: &str) -> PathBuf {
        self.home.join(name).join(DATA)
    }

    /// Makes a volume, which survives a power cut then; one that is there stays as it is. To be called under the store's lock, with a name that [`is_name`].
    pub fn create(&self, name: &str, labels: Option<&Pairs>) -> Result<(), StoreError> {
        if self.data(name).is_dir() {
            return Ok(());
        }
        let directory = self.home.join(name);
        make_directory(&directory, 0o701)?;
        if let Some(labels) = labels {
            let path = directory.join(LABELS);
            let json = serde_json::to_vec(labels);
            let json = json.map_err(no_json(&path))?;
            atomic::write(&path, &json, 0o644)?;
        }
        make_directory(&self.data(name), 0o755)?;
        [&directory, &self.home]
            .into_iter()
            .try_for_each(|path| atomic::sync_directory(path).map_err(failed("sync", path)))
    }

    /// The volume `name`, if there is one.
    pub fn get(&self, name: &str) -> Result<Option<Volume>, StoreError> {
        let data = self.data(name);
        if !is_name(name) {
            return Ok(None);
        }
        let meta = match fs::symlink_metadata(&data) {
            Ok(meta) if meta.is_dir() => meta,
            Ok(_) => return Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(failed("look at", &data)(error)),
        };
        let changed = jiff::Timestamp::new(meta.ctime(), i32::try_from(meta.ctime_nsec()).unwrap_or_default());
        let directory = self.home.join(name);
        Ok(Some(Volume {
            name: name.to_owned(),
            created: changed.unwrap_or_default(),
            labels: read(&directory.join(LABELS))?,
            options: read::<MountOptions>(&directory.join(OPTIONS))?.map(MountOptions::pairs),
            data,
        }))
    }

    /// All volumes, by name.
    pub fn all(&self) -> Result<Vec<Volume>, StoreError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.home).map_err(failed("list", &self.home))? {
            names.push(entry.map_err(failed("list", &self.home))?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        names.iter().filter_map(|name| self.get(name).transpose()).collect()
    }

    /// Removes a volume with all that is in it; one that is gone already is no error. To be called under the store's lock.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let directory = self.home.join(name);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", &directory)(error)),
            _ => Ok(()),
        }
    }
}

/// Whether a volume may be called so (`[a-zA-Z0-9][a-zA-Z0-9_.-]+`).
pub fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|first| first.is_ascii_alphanumeric());
    first && name.len() > 1 && characters.all(|other| other.is_ascii_alphanumeric() || "_.-".contains(other))
}

/// `opts.json`, as far as it says what is mounted.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct MountOptions {
    mount_type: String,
    mount_opts: String,
    mount_device: String,
}

impl MountOptions {
    fn pairs(self) -> Pairs {
        let said = [("device", self.mount_device), ("o", self.mount_opts), ("type", self.mount_type)];
        said.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed("open", path))?,
    };
    let parsed = serde_json::from_slice(&text);
    parsed.map(Some).map_err(no_json(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_volume_lies_where_dockerd_looks_for_it() {
        let home = tempfile::tempdir().unwrap();
        let volumes = Volumes::open(home.path().to_owned());
        let labels = Pairs::from([("a".to_owned(), "b".to_owned())]);
        volumes.create("v1", Some(&labels)).unwrap();
        volumes.create("v1", None).unwrap();
        let mode = |path: &str| fs::metadata(home.path().join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("v1"), mode("v1/_data")), (0o701, 0o755));
        assert_eq!(volumes.get("v1").unwrap().unwrap().labels, Some(labels));
        assert_eq!(volumes.get("../volumes/v1").unwrap(), None);
        volumes.remove("v1").unwrap();
        assert_eq!(volumes.all().unwrap(), []);
    }

    #[test]
    fn a_volume_of_dockerds_is_one_and_its_database_is_none() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("metadata.db"), "").unwrap();
        fs::create_dir_all(home.path().join("there/_data")).unwrap();
        let options = r#"{"MountType":"tmpfs","MountOpts":"","MountDevice":"tmpfs","Quota":{"Size":0}}"#;
        fs::write(home.path().join("there/opts.json"), options).unwrap();
        let all = Volumes::open(home.path().to_owned()).all().unwrap();
        assert_eq!((all.len(), all[0].name.as_str()), (1, "there"));
        assert_eq!(all[0].options.as_ref().unwrap()["type"], "tmpfs");
    }

    #[test]
    fn names_are_dockers() {
        assert!(["v1", "A_b.c-d"].into_iter().all(is_name));
        assert!(!["", "a", "-x", "a/b", "..", "a b"].into_iter().any(is_name));
    }
}
