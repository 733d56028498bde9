//! The store: Docker's books on disk about images, layers, names and mounts.
//!
//! *Why*: dockerd and this engine can read each other's data root only if every file is where Docker looks for it.
//! *Holds*: a file is seen whole, old or new, whenever the machine stops; what a record names exists before the record
//! does. *Never*: a mount, a process, the network. *Proved by*: the tests of each file and `snapshots/`.
//!
//! On disk, below the data root (source: a recorded dockerd 20.10; no file of `image/` ends in a newline):
//! ```text
//! image/<driver>/repositories.json                        names and digests → image IDs        repositories.rs
//! image/<driver>/imagedb/content/sha256/<image>           raw configuration                     images.rs
//! image/<driver>/imagedb/metadata/sha256/<image>/…        parent, lastUpdated (made here only)  images.rs
//! image/<driver>/layerdb/sha256/<chain>/…                 cache-id diff parent size tar-split   layers.rs
//! image/<driver>/layerdb/mounts/<container>/…             mount-id init-id parent               layers.rs
//! image/<driver>/intents/…                                notes of commands under way           container/intent.rs
//! image/<driver>/distribution/…                           blob digest ↔ diff ID                 distribution.rs
//! volumes/<name>/_data                                    what a volume holds                   volumes.rs
//! volumes/metadata.db                                     dockerd's, whose lock keeps it out    daemon.rs
//! tmp/…                                                   what waits to be registered           staging.rs
//! ```

use crate::sys::reason::reason;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

pub mod atomic;
pub mod daemon;
pub mod distribution;
pub mod images;
pub mod layers;
pub mod lock;
pub mod repositories;
pub mod staging;
pub mod volumes;

pub use distribution::Distribution;
pub use images::Images;
pub use layers::{Layer, Layers, MountRecord};
pub use lock::{Asked, Hold, Lock};
pub use repositories::Repositories;
pub use staging::Staging;
pub use volumes::{Volume, Volumes};

/// Where commands note what they are about to make or remove, below `image/<driver>` (`container/intent.rs`).
pub(crate) const INTENTS: &str = "intents";

/// What the store could not do, on which path.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error("{operation} {}: {}", .path.display(), reason(.source))]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    /// A file does not hold what it must.
    #[error("{} is damaged: {reason}", .path.display())]
    Damaged { path: PathBuf, reason: String },
    /// A dockerd works on the data root, which keeps its books in memory, and whose containers look like those of a monitor that is gone.
    #[error("a dockerd works on {}: stop it, or name another directory with --data-root", .0.display())]
    Dockerd(PathBuf),
    /// A chain ID that no layer has.
    #[error("layer does not exist")]
    NoSuchLayer(crate::image::Digest),
}

/// Adds the operation and the path to an I/O error.
pub(crate) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io { operation, path, source }
}

/// Adds the path to what is wrong with a record's JSON.
pub(crate) fn no_json(path: &Path) -> impl FnOnce(serde_json::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::Damaged { path, reason: crate::image::go_json::reason(&error) }
}

/// The records of one storage driver below one data root.
pub struct Store {
    data_root: PathBuf,
    /// Image configurations.
    pub images: Images,
    /// Layers and the mounts of containers.
    pub layers: Layers,
    /// What is known of blobs in registries.
    pub distribution: Distribution,
    /// Volumes, whatever the driver.
    pub volumes: Volumes,
    repositories: PathBuf,
}

impl Store {
    /// Opens the records of `driver` below `data_root`, laying out what is missing.
    pub fn open(data_root: &Path, driver: &str) -> Result<Store, StoreError> {
        let home = data_root.join("image").join(driver);
        // All that dockerd has there, also what belongs to parts of it that this engine has not: a data root looks the same.
        for (directory, mode) in [
            ("", 0o710),
            ("buildkit", 0o711),
            ("containerd", 0o700),
            ("containers", 0o710),
            ("image", 0o700),
            ("network", 0o750),
            ("plugins", 0o700),
            ("runtimes", 0o700),
            ("swarm", 0o700),
            ("tmp", 0o700),
            ("trust", 0o700),
            ("volumes", 0o701),
        ] {
            make_directory(&data_root.join(directory), mode)?;
        }
        for (directory, mode) in [("", 0o700), ("distribution", 0o700), ("imagedb", 0o700), ("layerdb", 0o700)] {
            make_directory(&home.join(directory), mode)?;
        }
        let repositories = home.join("repositories.json");
        if !repositories.exists() {
            Repositories::default().save(&repositories)?;
        }
        Ok(Store {
            data_root: data_root.to_owned(),
            images: Images::open(&home.join("imagedb"))?,
            layers: Layers::open(&home.join("layerdb"))?,
            distribution: Distribution::at(&home.join("distribution")),
            volumes: Volumes::open(data_root.join("volumes")),
            repositories,
        })
    }

    /// The directory everything lies below.
    pub fn data_root(&self) -> &Path {
        &self.data_root
    }

    /// The names as they are now.
    pub fn repositories(&self) -> Result<Repositories, StoreError> {
        Repositories::load(&self.repositories)
    }

    /// Replaces all names; to be called under [`Store::lock`].
    pub fn save_repositories(&self, repositories: &Repositories) -> Result<(), StoreError> {
        repositories.save(&self.repositories)
    }

    /// Waits until no other process changes the records, and keeps others out while the lock lives: commands of this engine, which wait, and
    /// a dockerd that begins, for as long as it tries (`daemon.rs`).
    pub fn lock(&self) -> Result<Lock, StoreError> {
        Ok(Lock::exclusive(&self.data_root)?.with(daemon::keep_out(&self.data_root)?))
    }

    /// Writes everything below the data root to disk, so that records may name it; what somebody mounted on a directory right below it, too.
    pub fn sync(&self) -> Result<(), StoreError> {
        let sync = |path: &Path| fs::File::open(path).and_then(|directory| Ok(rustix::fs::syncfs(&directory)?));
        let device = |path: &Path| fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.is_dir()));
        let root = &self.data_root;
        sync(root).map_err(failed("sync", root))?;
        let own = device(root).map_err(failed("look at", root))?.0;
        for entry in fs::read_dir(root).map_err(failed("list", root))? {
            let path = entry.map_err(failed("list", root))?.path();
            // What is gone meanwhile is nobody's.
            if device(&path).is_ok_and(|(device, is_directory)| is_directory && device != own) {
                sync(&path).map_err(failed("sync", &path))?;
            }
        }
        Ok(())
    }
}

/// Makes a directory with exactly this mode unless it is there.
pub(crate) fn make_directory(path: &Path, mode: u32) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("chmod", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_dockerd_has_begun_meanwhile_no_record_is_changed_and_none_begins_while_one_is() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), "overlay2").unwrap();
        let held = store.lock().unwrap();
        let dockerds = fs::File::open(root.path().join("volumes/metadata.db")).unwrap();
        assert!(dockerds.try_lock().is_err());
        drop(held);
        dockerds.lock().unwrap();
        assert!(matches!(store.lock(), Err(StoreError::Dockerd(_))));
        drop(dockerds);
        store.lock().unwrap();
    }

    #[test]
    fn a_fresh_data_root_looks_like_dockers() {
        let root = tempfile::tempdir().unwrap();
        Store::open(root.path(), "overlay2").unwrap();
        let mut names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let dockers = "buildkit containerd containers image network plugins runtimes swarm tmp trust volumes";
        assert_eq!(names, dockers.split(' ').collect::<Vec<_>>());
        let books = fs::read_to_string(root.path().join("image/overlay2/repositories.json")).unwrap();
        assert_eq!(books, r#"{"Repositories":{}}"#);
    }
}
