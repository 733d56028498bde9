//! Storage drivers: how a stack of layers becomes one directory tree.
//!
//! *Why*: a store knows which layer lies on which; only a driver knows what that means on disk. *Holds*: a layer, once
//! something lies on it, is never changed again. *Never*: image or container names, digests, registries.
//! *Proved by*: the tests of each driver and the replayed pages.

use std::io;
use std::path::{Path, PathBuf};

use crate::layer::{Change, OverlayXattr, Packed};
use crate::sys::overlay::DetachedOverlay;

pub mod overlay2;

/// What a driver could not do, on which path.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A system call failed.
    #[error("{operation} {}: {source}", .path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    /// Reading or writing the tar of a layer failed.
    #[error(transparent)]
    Pack(#[from] crate::layer::PackError),
    /// Comparing two trees failed.
    #[error(transparent)]
    Changes(#[from] crate::layer::ChangesError),
    /// A driver that the documents name but that does not exist here.
    #[error("{0}")]
    Unsupported(String),
}

/// `GraphDriver` of an inspection: the driver's name and its directories, in Docker's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphData {
    /// The driver.
    pub name: String,
    /// Key and directory; `LowerDir` is absent for a single layer.
    pub data: Vec<(String, String)>,
}

/// A tree that can be looked into as long as the value lives.
pub struct View {
    path: PathBuf,
    _mount: Option<DetachedOverlay>,
}

impl View {
    /// The root of the tree.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A storage driver. Layers are named by their cache ID.
pub trait Driver: Send + Sync {
    /// Docker's name of the driver.
    fn name(&self) -> &'static str;

    /// Lines of `docker info` below `Storage Driver`.
    fn info(&self) -> Vec<(&'static str, String)>;

    /// Makes an empty layer `id` on top of `parent`, which from now on never changes.
    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError>;

    /// Makes a layer like [`Driver::create`] whose content is the directory `content`, which moves there.
    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError>;

    /// How whiteouts and opaque directories are marked in the content given to [`Driver::adopt`].
    fn marks(&self) -> OverlayXattr;

    /// Mounts layer `id`, writable, where people can look into it, and says where.
    fn attach(&self, id: &str) -> Result<PathBuf, DriverError>;

    /// Where [`Driver::attach`] mounts layer `id`.
    fn attached_at(&self, id: &str) -> PathBuf;

    /// Undoes [`Driver::attach`]; what is not attached stays so.
    fn detach(&self, id: &str) -> Result<(), DriverError>;

    /// The whole tree of layer `id` with all below it, to read.
    fn view(&self, id: &str) -> Result<View, DriverError>;

    /// The whole tree of layer `id`, to write into it before anybody else uses it.
    fn edit(&self, id: &str) -> Result<View, DriverError>;

    /// What layer `id` changes against `parent`, as `docker diff` lists it.
    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError>;

    /// Writes the layer tar of what `id` changes.
    fn pack(&self, id: &str, out: &mut dyn io::Write) -> Result<Packed, DriverError>;

    /// The directory in which the files of layer `id` itself lie under the names they have in its tar, to read their
    /// contents. What is there beside them (whiteouts, marks, files of layers below) is not looked at.
    fn own_files(&self, id: &str) -> PathBuf;

    /// Bytes of the regular files that belong to layer `id` alone.
    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError>;

    /// Removes layer `id`; what is gone already is no error.
    fn remove(&self, id: &str) -> Result<(), DriverError>;

    /// The cache IDs of all layers on disk, known to the store or not.
    fn all(&self) -> Result<Vec<String>, DriverError>;

    /// The directories of layer `id`.
    fn graph(&self, id: &str) -> Result<GraphData, DriverError>;
}

/// Opens the driver called `name` (the default when none is asked for) below `data_root`.
pub fn open(name: Option<&str>, data_root: &Path) -> Result<Box<dyn Driver>, DriverError> {
    match name.unwrap_or(overlay2::NAME) {
        overlay2::NAME => Ok(Box::new(overlay2::Overlay2::open(data_root)?)),
        other => Err(DriverError::Unsupported(format!(
            "storage driver {other:?} is not supported: this engine has {}; choose it with --storage-driver or in daemon.json",
            overlay2::NAME
        ))),
    }
}
