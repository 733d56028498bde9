//! Docker's `vfs` driver: each layer is a whole tree of its own, copied from the layer below (reflinked where
//! the file system can); no mount is needed.
//!
//! On disk (source: a recorded dockerd 20.10), below the data root:
//! ```text
//! vfs/             0710
//! vfs/dir/         0710
//! vfs/dir/<id>/    everything from the base up to this layer, of images and containers alike
//! ```

use std::path::{Path, PathBuf};

use super::files::{exists_is_fine, failed, make_directory};
use super::whole::Trees;
use super::{Deviation, DriverError};
use crate::layer::{Files, Kinship, OverlayXattr, copy_tree};

/// Docker's name of this driver.
pub const NAME: &str = "vfs";

/// What it does otherwise than others.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation::MountsNothing,
    Deviation::UnnamedDirectoriesStay,
    Deviation::CopiesWhole,
    Deviation::EqualDirectoriesUnseen,
    Deviation::DirectoryTimesUnseen,
];

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
}

impl Trees for Vfs {
    const NAME: &'static str = NAME;
    const KINSHIP: Kinship<'static> = Kinship::Unknown;

    const DEVIATIONS: &'static [Deviation] = DEVIATIONS;

    fn home(&self) -> &Path {
        &self.home
    }

    fn make(&self, layer: &Path, parent: Option<&Path>) -> Result<(), DriverError> {
        make_directory(layer, 0o755).map_err(failed("create", layer))?;
        match parent {
            Some(parent) => Ok(copy_tree(parent, layer, Files::Copied, OverlayXattr::None)?),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io};

    use super::super::Driver;
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
        fs::write(driver.home.join("c").join("one"), "changed").unwrap();
        fs::write(driver.home.join("c").join("two"), "new").unwrap();
        assert_eq!(fs::read_to_string(driver.home.join("a").join("one")).unwrap(), "a");
        assert_eq!(driver.own_size_bytes("c").unwrap(), 10);
        let found = driver.changes("c", "c-init").unwrap();
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["C /one", "A /two"]);
        assert_eq!(driver.pack("c", Some("c-init"), &mut io::sink()).unwrap().entries, 2);
        driver.remove("c").unwrap();
        driver.remove("c").unwrap();
        assert_eq!(driver.all().unwrap().len(), 2);
    }
}
