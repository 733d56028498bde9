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

use super::files::{self, exists_is_fine, failed, gone_is_fine, make_directory};
use super::{Driver, DriverError, GraphData, View, merged, whole};
use crate::layer::{Change, OverlayXattr, Packed, changes, lay_over};
use crate::sys::btrfs;

/// Docker's name of this driver.
pub const NAME: &str = "btrfs";

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

    fn layer(&self, id: &str) -> PathBuf {
        self.home.join(id)
    }
}

impl Driver for Btrfs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        let layer = self.layer(id);
        let Some(parent) = parent else {
            btrfs::create(&layer).map_err(failed("create subvolume", &layer))?;
            return fs::set_permissions(&layer, fs::Permissions::from_mode(0o755)).map_err(failed("chmod", &layer));
        };
        btrfs::snapshot(&self.layer(parent), &layer).map_err(failed("create snapshot", &layer))
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
        match btrfs::remove(&layer) {
            // Who may not remove a subvolume may empty it; so goes one that holds others, which somebody made in a container.
            Err(error) if error.kind() != io::ErrorKind::NotFound => fs::remove_dir_all(&layer),
            removed => removed,
        }
        .or_else(gone_is_fine)
        .map_err(failed("remove", &layer))
    }

    fn all(&self) -> Result<Vec<String>, DriverError> {
        files::names_in(&self.home)
    }

    fn graph(&self, _id: &str) -> Result<GraphData, DriverError> {
        Ok(GraphData { name: NAME.to_owned(), data: Vec::new() })
    }
}
