//! What a store has on disk, read without its engine.
//!
//! *Source*: Docker's layout below the data root, as the headers of `engine/src/store` and `engine/src/driver` draw it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::Value;

/// A layer of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// The digest of its tar.
    pub diff_id: String,
    /// The chain ID of the layer below.
    pub below: Option<String>,
    /// The name of its directory.
    pub cache_id: String,
    /// How many bytes it is said to hold.
    pub size_bytes: u64,
}

/// A container's own layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The names of its directory, and of the one with the engine's mount points below it.
    pub directories: [String; 2],
    /// The chain ID of the layer below both.
    pub below: Option<String>,
}

/// Everything that laws ask about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shelf {
    /// Configurations by image ID.
    pub images: BTreeMap<String, Vec<u8>>,
    /// Names and whose they are.
    pub names: BTreeMap<String, String>,
    /// Layers by chain ID.
    pub layers: BTreeMap<String, Layer>,
    /// Containers by name, and of which image each is.
    pub containers: BTreeMap<String, String>,
    /// Their own layers, by container ID.
    pub mounts: BTreeMap<String, Mount>,
    /// The driver's directories.
    pub directories: BTreeSet<String>,
    /// How many files and links there are below `image/`, but for the times at which images that are here were named, and below the
    /// driver's directory.
    pub files: [usize; 2],
    /// Bytes of the regular files below the driver's directory.
    pub bytes: u64,
    /// Bytes of the regular files in the trees of layers, each file counted once whatever names it has in whatever layers.
    pub held_bytes: u64,
}

impl Shelf {
    /// Reads it.
    pub fn read(data_root: &Path, driver: &str) -> io::Result<Shelf> {
        let image = data_root.join("image").join(driver);
        let mut shelf = Shelf::default();
        for name in names(&image.join("imagedb/content/sha256"))? {
            let config = fs::read(image.join("imagedb/content/sha256").join(&name))?;
            shelf.images.insert(format!("sha256:{name}"), config);
        }
        let repositories: Value = match fs::read(image.join("repositories.json")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Value::Null,
            bytes => serde_json::from_slice(&bytes?)?,
        };
        for (_, tags) in repositories["Repositories"].as_object().into_iter().flatten() {
            for (name, id) in tags.as_object().into_iter().flatten() {
                shelf.names.insert(name.clone(), id.as_str().unwrap_or_default().to_owned());
            }
        }
        for name in names(&image.join("layerdb/sha256"))? {
            let directory = image.join("layerdb/sha256").join(&name);
            let size_bytes = match &*text(&directory.join("size"))? {
                "" => 0,
                size => size.parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?,
            };
            let (diff_id, cache_id) = (text(&directory.join("diff"))?, text(&directory.join("cache-id"))?);
            let layer = Layer { diff_id, below: below(&directory)?, cache_id, size_bytes };
            shelf.layers.insert(format!("sha256:{name}"), layer);
        }
        for name in names(&image.join("layerdb/mounts"))? {
            let directory = image.join("layerdb/mounts").join(&name);
            let file = |file: &str| fs::read_to_string(directory.join(file));
            let mount = Mount { directories: [file("mount-id")?, file("init-id")?], below: below(&directory)? };
            shelf.mounts.insert(name, mount);
        }
        for id in names(&data_root.join("containers"))? {
            let config: Value =
                serde_json::from_slice(&fs::read(data_root.join("containers").join(id).join("config.v2.json"))?)?;
            let word = |key: &str| config[key].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
            shelf.containers.insert(word("Name"), word("Image"));
        }
        let home = data_root.join(driver);
        let layers = data_root.join(home_of_layers(driver));
        shelf.directories = names(&layers)?.into_iter().filter(|name| name != "l").collect();
        let mut bytes = 0;
        // Naming an image that is here is noted with its time (moby's `SetLastUpdated`), loading it under a name is not.
        let is_noted = |id: &&String| {
            let id = id.trim_start_matches("sha256:");
            image.join("imagedb/metadata/sha256").join(id).join("lastUpdated").exists()
        };
        let noted = shelf.images.keys().filter(is_noted).count();
        shelf.files[0] = count(&data_root.join("image"), &mut 0)? - noted;
        shelf.files[1] = count(&home, &mut bytes)?;
        shelf.bytes = bytes;
        let mut files = BTreeMap::new();
        for directory in &shelf.directories {
            let directory = layers.join(directory);
            match driver {
                "vfs" | "btrfs" => measure(&directory, &mut files)?,
                // What a layer holds, beside what the driver notes of it: of overlay2, and of legacy overlay's images and containers.
                _ => {
                    ["diff", "root", "upper"].iter().try_for_each(|name| measure(&directory.join(name), &mut files))?
                }
            }
        }
        shelf.held_bytes = files.values().sum();
        Ok(shelf)
    }

    /// The diff IDs of a layer and of those below it, the lowest first.
    pub fn stack(&self, chain_id: &str) -> Vec<String> {
        let mut stack = Vec::new();
        let mut next = self.layers.get(chain_id);
        while let Some(layer) = next.filter(|_| stack.len() < self.layers.len()) {
            stack.push(layer.diff_id.clone());
            next = layer.below.as_ref().and_then(|below| self.layers.get(below));
        }
        stack.reverse();
        stack
    }

    /// The diff IDs that the configuration of `image` tells, the lowest first.
    pub fn diff_ids(&self, image: &str) -> Option<Vec<String>> {
        let config: Value = serde_json::from_slice(self.images.get(image)?).ok()?;
        let ids = config["rootfs"]["diff_ids"].as_array()?;
        ids.iter().map(|id| Some(id.as_str()?.to_owned())).collect()
    }
}

/// The chain ID of what lies right below.
fn below(directory: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(directory.join("parent")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        below => below.map(Some),
    }
}

/// What a file of the books says: nothing, where it is not there.
fn text(file: &Path) -> io::Result<String> {
    match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text,
    }
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
    }
}

/// Notes the length of each regular file below `directory`, by device and inode. One that is not there has none.
/// Where a driver has a directory for each layer, below the data root.
pub(super) fn home_of_layers(driver: &str) -> String {
    match driver {
        "vfs" => "vfs/dir".to_owned(),
        "btrfs" => "btrfs/subvolumes".to_owned(),
        _ => driver.to_owned(),
    }
}

fn measure(directory: &Path, files: &mut BTreeMap<(u64, u64), u64>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            measure(&entry.path(), files)?;
        } else if meta.is_file() {
            files.insert((meta.dev(), meta.ino()), meta.len());
        }
    }
    Ok(())
}

/// How many files and links are below `directory`, however deep; adds the regular files' bytes.
fn count(directory: &Path, bytes: &mut u64) -> io::Result<usize> {
    let mut number = 0;
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let meta = entry.metadata()?;
        if meta.is_dir() {
            number += count(&entry.path(), bytes)?;
            continue;
        }
        // overlay2 notes so in a layer that something was mounted on, ever (moby's `overlay2.go`).
        number += usize::from(entry.file_name() != "committed");
        *bytes += if meta.is_file() { meta.len() } else { 0 };
    }
    Ok(number)
}
