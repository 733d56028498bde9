//! Docker's `btrfs` driver: each layer is a subvolume with the whole tree up to it, which begins as a snapshot of the layer below; no
//! mount is needed, and nothing is stored twice.
//!
//! On disk (source: a recorded dockerd 20.10), below the data root, which has to lie on btrfs:
//! ```text
//! btrfs/                   0710
//! btrfs/subvolumes/        0710
//! btrfs/subvolumes/<id>/   everything from the base up to this layer, of images and containers alike
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::files::{exists_is_fine, failed, make_directory};
use super::whole::Trees;
use super::{Deviation, DriverError};
use crate::layer::Kinship;
use crate::sys::btrfs;
use crate::sys::removal::remove_tree;

/// Docker's name of this driver.
pub const NAME: &str = "btrfs";

/// What it does otherwise than others.
pub(super) const DEVIATIONS: &[Deviation] =
    &[Deviation::MountsNothing, Deviation::UnnamedDirectoriesStay, Deviation::DirectoryTimesUnseen];

/// Layers as subvolumes below `<data root>/btrfs/subvolumes`.
pub struct Btrfs {
    home: PathBuf,
}

impl Btrfs {
    /// Opens the driver's directories, making them when they are missing.
    pub fn open(data_root: &Path) -> Result<Btrfs, DriverError> {
        let place = data_root.join(NAME);
        let home = place.join("subvolumes");
        for directory in [&place, &home] {
            make_directory(directory, 0o710).or_else(exists_is_fine).map_err(failed("create", directory))?;
        }
        Ok(Btrfs { home })
    }
}

impl Trees for Btrfs {
    const NAME: &'static str = NAME;
    const KINSHIP: Kinship<'static> = Kinship::Snapshot;

    const DEVIATIONS: &'static [Deviation] = DEVIATIONS;

    fn home(&self) -> &Path {
        &self.home
    }

    fn make(&self, layer: &Path, parent: Option<&Path>) -> Result<(), DriverError> {
        if let Some(parent) = parent {
            return btrfs::snapshot(parent, layer).map_err(failed("create snapshot", layer));
        }
        btrfs::create(layer).map_err(failed("create subvolume", layer))?;
        fs::set_permissions(layer, fs::Permissions::from_mode(0o755)).map_err(failed("chmod", layer))
    }

    fn remove_tree(&self, layer: &Path) -> io::Result<()> {
        match btrfs::remove(layer) {
            // Who may not remove a subvolume may empty it; so goes one that holds others, which somebody made in a container.
            Err(error) if error.kind() != io::ErrorKind::NotFound => remove_tree(layer),
            removed => removed,
        }
    }
}
