//! Docker's `vfs` driver: each layer is a whole tree of its own, copied in full from the layer below; no mount is needed.
//!
//! On disk (source: a recorded dockerd 20.10), below the data root:
//! ```text
//! vfs/             0710
//! vfs/dir/         0710
//! vfs/dir/<id>/    everything from the base up to this layer, of images and containers alike
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, exists_is_fine, failed, gone_is_fine, make_directory};
use super::{Driver, DriverError, GraphData, View, merged, whole};
use crate::layer::{Change, Files, OverlayXattr, Packed, changes, copy_tree, lay_over};

/// Docker's name of this driver.
pub const NAME: &str = "vfs";

/// Layers as directories below `<data root>/vfs/dir`.
pub struct Vfs {
    home: PathBuf,
}

impl Vfs {
    /// Opens the driver's directories, making them when they are missing.
    pub fn open(data_root: &Path) -> Result<Vfs, DriverError> {
        let place = data_root.join(NAME);
        let home = place.join("dir");
        for directory in [&place, &home] {
            make_directory(directory, 0o710).or_else(exists_is_fine).map_err(failed("create", directory))?;
        }
        Ok(Vfs { home })
    }

    fn layer(&self, id: &str) -> PathBuf {
        self.home.join(id)
    }
}

impl Driver for Vfs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        let layer = self.layer(id);
        make_directory(&layer, 0o755).map_err(failed("create", &layer))?;
        match parent {
            Some(parent) => Ok(copy_tree(&self.layer(parent), &layer, Files::Copied)?),
            None => Ok(()),
        }
    }

    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        self.create(id, parent)?;
        Ok(lay_over(content, &self.layer(id), self.marks())?)
    }

    fn marks(&self) -> OverlayXattr {
        merged::marks()
    }

    fn attach(&self, id: &str) -> Result<PathBuf, DriverError> {
        Ok(self.layer(id))
    }

    fn attached_at(&self, id: &str) -> PathBuf {
        self.layer(id)
    }

    fn detach(&self, _id: &str) -> Result<(), DriverError> {
        Ok(())
    }

    fn view(&self, id: &str) -> Result<View, DriverError> {
        Ok(View::of(self.layer(id)))
    }

    fn edit(&self, id: &str) -> Result<View, DriverError> {
        self.view(id)
    }

    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        Ok(changes(&self.layer(parent), &self.layer(id))?)
    }

    fn pack(&self, id: &str, parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError> {
        whole::pack(&self.home, id, parent, out)
    }

    fn own_files(&self, id: &str) -> PathBuf {
        self.layer(id)
    }

    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError> {
        whole::own_size_bytes(&self.home, id)
    }

    fn remove(&self, id: &str) -> Result<(), DriverError> {
        let layer = self.layer(id);
        fs::remove_dir_all(&layer).or_else(gone_is_fine).map_err(failed("remove", &layer))
    }

    fn all(&self) -> Result<Vec<String>, DriverError> {
        files::names_in(&self.home)
    }

    fn graph(&self, _id: &str) -> Result<GraphData, DriverError> {
        Ok(GraphData { name: NAME.to_owned(), data: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: DL-06, DL-16~
    #[test]
    fn a_layer_is_a_copy_that_shares_nothing_with_the_layer_below() {
        let root = tempfile::tempdir().unwrap();
        let driver = Vfs::open(root.path()).unwrap();
        let content = root.path().join("content");
        fs::create_dir(&content).unwrap();
        fs::write(content.join("one"), "a").unwrap();
        driver.adopt("a", None, &content).unwrap();
        driver.create("c-init", Some("a")).unwrap();
        driver.create("c", Some("c-init")).unwrap();
        fs::write(driver.layer("c").join("one"), "changed").unwrap();
        fs::write(driver.layer("c").join("two"), "new").unwrap();
        assert_eq!(fs::read_to_string(driver.layer("a").join("one")).unwrap(), "a");
        assert_eq!(driver.own_size_bytes("c").unwrap(), 10);
        let found = driver.changes("c", "c-init").unwrap();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["C /one", "A /two"]);
        assert_eq!(driver.pack("c", Some("c-init"), &mut io::sink()).unwrap().entries, 2);
        driver.remove("c").unwrap();
        driver.remove("c").unwrap();
        assert_eq!(driver.all().unwrap().len(), 2);
    }
}
