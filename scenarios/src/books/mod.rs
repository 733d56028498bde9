//! Reads the books that a Docker-shaped engine keeps in its data root: which images, layers and containers lie there.
//!
//! *Why*: what lies on disk can be drawn only by somebody who reads it, and pages know no engine to ask.
//! *Holds*: nothing but files below the data root is read; what is missing or damaged is left out and named in
//! [`Books::faults`]. A driver is whatever has a directory in `image/` (`overlay2`, `overlay`).
//! *Never*: anything is written; an engine is asked.
//! *Proved by*: the tests of this module's files and `scenarios/tests/html.rs`.
//!
//! ```text
//! image/DRIVER/repositories.json                      names → image IDs
//! image/DRIVER/imagedb/content/sha256/IMAGE           configuration: diff IDs bottom to top, history
//! image/DRIVER/layerdb/sha256/CHAIN/{diff,parent,cache-id,size}
//! image/DRIVER/layerdb/mounts/CONTAINER/{mount-id,init-id,parent}
//! DRIVER/CACHE                                        the layer itself
//! containers/CONTAINER/config.v2.json                 name, image, state
//! ```

mod containers;
mod images;
mod layers;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

pub use containers::{Container, State};
pub use images::Image;
pub use layers::Layer;

/// What the books of one driver say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// Name of the storage driver, as the data root has it.
    pub driver: String,
    /// Sorted by their first name, nameless ones last.
    pub images: Vec<Image>,
    /// By chain ID.
    pub layers: BTreeMap<String, Layer>,
    /// Sorted by name.
    pub containers: Vec<Container>,
    /// What could not be read, each with its file.
    pub faults: Vec<String>,
}

impl Books {
    /// The books of every driver in `data_root`, none if it is not laid out as Docker's.
    pub fn read(data_root: &Path) -> Vec<Books> {
        let Ok(drivers) = fs::read_dir(data_root.join("image")) else { return Vec::new() };
        let mut drivers: Vec<String> =
            drivers.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        drivers.sort();
        drivers.into_iter().map(|driver| Books::of_driver(data_root, driver)).collect()
    }

    fn of_driver(data_root: &Path, driver: String) -> Books {
        let mut faults = Faults::default();
        let image = data_root.join("image").join(&driver);
        let images = images::read(&image, &mut faults);
        let layers = layers::read(&image.join("layerdb/sha256"), &mut faults);
        let containers = containers::read(data_root, &driver, &mut faults);
        Books { driver, images, layers, containers, faults: faults.0 }
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.layers.is_empty() && self.containers.is_empty()
    }
}

/// What could not be read so far.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    /// The text of a file without blanks at its ends; one that is not there is no fault, since an engine may be at work.
    fn text(&mut self, path: &Path) -> Option<String> {
        match fs::read_to_string(path) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.0.push(format!("{}: {error}", path.display()));
                None
            }
        }
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self, path: &Path) -> Option<T> {
        let text = self.text(path)?;
        match serde_json::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.0.push(format!("{}: {error}", path.display()));
                None
            }
        }
    }
}

/// The names in a directory, sorted; none if it is not there.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// An ID without the name of its algorithm.
fn bare(id: &str) -> String {
    id.strip_prefix("sha256:").unwrap_or(id).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_no_data_root_has_no_books() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(Books::read(root.path()), []);
        assert_eq!(Books::read(&root.path().join("nowhere")), []);
    }

    #[test]
    fn damaged_books_are_named_and_the_rest_is_read() {
        let root = tempfile::tempdir().unwrap();
        let image = root.path().join("image/overlay2");
        fs::create_dir_all(image.join("layerdb/sha256").join("a".repeat(64))).unwrap();
        fs::write(image.join("repositories.json"), "{").unwrap();
        let books = Books::read(root.path()).remove(0);
        assert_eq!((books.driver.as_str(), books.layers.len()), ("overlay2", 1));
        assert!(books.faults.iter().any(|fault| fault.contains("repositories.json")), "{:?}", books.faults);
    }
}
