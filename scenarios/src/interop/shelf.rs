//! The files of layers and images, which no turn may change while they are there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::disk::{Disk, names};
use super::table::Fault;

/// What overlayfs writes into a directory when it is first mounted writable, as dockerd mounts a layer on which none lies yet.
const MARKS_OF_MOUNTS: [&str; 3] = [" trusted.overlay.impure=y", " trusted.overlay.uuid", " trusted.overlay.origin"];

/// The files that make a layer or an image, by their path; no turn may change them while they are there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    /// By the directory or record that they belong to.
    things: BTreeMap<String, BTreeMap<PathBuf, String>>,
}

impl Disk {
    /// What makes images and layers, as it lies there.
    pub fn shelf(&self) -> Result<Shelf, Fault> {
        let mut shelf = Shelf::default();
        let image = self.image_directory();
        let broken = Fault::io("the layers on disk");
        for id in names(&image.join("imagedb/content/sha256")) {
            // Its time is that of the last load or pull: both write it again.
            let content = fs::read(image.join("imagedb/content/sha256").join(&id)).map_err(&broken)?;
            let digest = hex::encode(Sha256::digest(content));
            shelf.things.insert(format!("image {id}"), BTreeMap::from([(PathBuf::new(), digest)]));
        }
        for (chain_id, layer) in &self.books.layers {
            let record = image.join("layerdb/sha256").join(chain_id);
            // One that was removed and came again has another directory.
            let what = format!("layer {chain_id} in {}", layer.cache_id);
            shelf.things.insert(format!("record of {what}"), files(&record).map_err(&broken)?);
            let directory = self.layer_directory().join(&layer.cache_id);
            let mut tree = files(&directory).map_err(&broken)?;
            // Where overlayfs works, and what dockerd writes when a layer is first mounted by itself.
            tree.retain(|path, _| !path.starts_with("work") && path != Path::new("committed"));
            shelf.things.insert(format!("directory of {what}"), tree);
        }
        Ok(shelf)
    }
}

impl Shelf {
    /// What of these things is still there, and not the same any more.
    pub fn changes(&self, after: &Shelf) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (thing, before) in &self.things {
            let Some(now) = after.things.get(thing) else { continue };
            let lines = |files: &BTreeMap<PathBuf, String>, others: &BTreeMap<PathBuf, String>| {
                let differs = files.iter().filter(|(path, line)| others.get(*path) != Some(line));
                differs.map(|(path, line)| format!("{} {line}", path.display())).collect::<Vec<_>>().join("\n")
            };
            if before != now {
                faults.push(Fault::new(format!("{thing} after the turn"), lines(before, now), lines(now, before)));
            }
        }
        faults
    }
}

/// Each file below a path by what it is, with the digest of its content unless it is big.
pub fn files(path: &Path) -> io::Result<BTreeMap<PathBuf, String>> {
    const BIG_BYTES: u64 = 1 << 20;
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(path) {
        let entry = entry?;
        let below = entry.path().strip_prefix(path).unwrap_or(entry.path()).to_owned();
        let meta = entry.path().symlink_metadata()?;
        let line = crate::listing::line(entry.path(), &below, meta.is_dir())?;
        let mut line = MARKS_OF_MOUNTS.iter().fold(line, |line, mark| line.replace(mark, ""));
        if meta.is_file() {
            let time = meta.modified()?;
            line += &format!(" {time:?}");
            if meta.len() <= BIG_BYTES {
                line += &format!(" {}", hex::encode(Sha256::digest(fs::read(entry.path())?)));
            }
        }
        files.insert(below, line);
    }
    Ok(files)
}
