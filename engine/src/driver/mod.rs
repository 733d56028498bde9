//! Storage drivers: how a stack of layers becomes one directory tree.
//!
//! *Why*: a store knows which layer lies on which; only a driver knows what that means on disk. *Holds*: a layer, once
//! something lies on it, is never changed again. *Never*: image or container names, digests, registries.
//! *Proved by*: the contract (`engine/tests/contract`), the laws on each driver, and the replayed pages.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::layer::{
    Change, Contents, OverlayXattr, Owners, Packed, UnpackError, UnpackOptions, Unpacked, unpack_recording,
};
use crate::sys::fuse::Life;
use crate::sys::mount::Detached;
use crate::sys::reason::reason;

pub mod btrfs;
mod deviation;
mod files;
pub mod fuse_overlayfs;
pub mod known;
mod linked;
mod merged;
pub mod overlay;
pub mod overlay2;
mod trial;
pub mod vfs;
mod whole;

pub use deviation::Deviation;
pub(crate) use files::{counted_bytes, size_below};
pub use known::{Availability, Choice, KNOWN, Known, refusal, survey};

/// What a driver could not do, on which path.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A system call failed.
    #[error("{operation} {}: {}", .path.display(), reason(.source))]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    /// Reading or writing the tar of a layer failed.
    #[error(transparent)]
    Pack(#[from] crate::layer::PackError),
    /// Comparing two trees failed.
    #[error(transparent)]
    Changes(#[from] crate::layer::ChangesError),
    /// Copying or changing the tree of a layer failed.
    #[error(transparent)]
    Tree(#[from] crate::layer::TreeError),
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
    detached: Option<Detached>,
    /// Comes after the mount, so that it ends first.
    _ending: Option<Ending>,
}

/// Waits, when the mount of a view is gone, until the program that served it is, too.
struct Ending(Life);

impl Drop for Ending {
    fn drop(&mut self) {
        // One whose mount is still looked into, or was given a place, ends when that does.
        let _ = self.0.wait_for_end(fuse_overlayfs::END_LIMIT);
    }
}

impl View {
    /// A tree that is there anyway.
    fn of(path: PathBuf) -> View {
        View { path, detached: None, _ending: None }
    }

    /// A tree that is gone with the value.
    fn detached(mount: Detached) -> View {
        View { path: mount.path(), detached: Some(mount), _ending: None }
    }

    /// A tree that is gone with the value, and then the program that serves it.
    fn served(mount: Detached, life: Life) -> View {
        View { _ending: Some(Ending(life)), ..View::detached(mount) }
    }

    /// The root of the tree.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Mounts the tree on `target`, for as long as the mount namespace of the caller lives.
    pub fn mount_on(&self, target: &Path) -> Result<(), DriverError> {
        let mounted = match &self.detached {
            Some(detached) => detached.attach(target),
            None => crate::sys::mount::bind(&self.path, target),
        };
        mounted.map_err(files::failed("mount on", target))
    }
}

/// How many layers an image may have in Docker, whatever its driver (`maxLayerDepth` of moby's `layer` package, "max depth exceeded"): an image
/// with more can be used here, and is refused by a dockerd.
pub const DOCKERS_LAYERS_MAX: usize = 125;

/// A storage driver. Layers are named by their cache ID.
pub trait Driver: Send + Sync {
    /// Docker's name of the driver.
    fn name(&self) -> &'static str;

    /// How many layers an image may have: Docker's number, unless the driver is known to bear more.
    fn layers_max(&self) -> usize {
        DOCKERS_LAYERS_MAX
    }

    /// What it does otherwise than all the others.
    fn deviations(&self) -> &'static [Deviation];

    /// Whether it does this otherwise.
    fn deviates(&self, in_what: Deviation) -> bool {
        self.deviations().contains(&in_what)
    }

    /// Lines of `docker info` below `Storage Driver`.
    fn info(&self) -> Vec<(&'static str, String)>;

    /// Makes an empty layer `id` on top of `parent`, which from now on never changes.
    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError>;

    /// Unpacks a layer tar into the empty directory `content`, for [`Driver::adopt`], and writes to `record` what is needed to get the
    /// same tar back ([`unpack_recording`]).
    fn unpack(
        &self,
        tar: &mut dyn io::Read,
        content: &Path,
        owners: Owners,
        record: &mut dyn io::Write,
    ) -> Result<Unpacked, UnpackError> {
        let options = UnpackOptions { contents: Contents::Layer, overlay: self.marks(), owners };
        unpack_recording(tar, content, &options, record)
    }

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

    /// The whole tree of layer `id`, to write into it: as it is attached, or mounted alone. Its upper directory must not be
    /// mounted a second time, so nobody else may use it meanwhile.
    fn edit(&self, id: &str) -> Result<View, DriverError>;

    /// What layer `id` changes against `parent`, as `docker diff` lists it.
    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError>;

    /// Writes the layer tar of what `id` changes against `parent`, the layer right below it.
    fn pack(&self, id: &str, parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError>;

    /// The directory in which the files of layer `id` itself lie under the names they have in its tar, to read their
    /// contents. What is there beside them (whiteouts, marks, files of layers below) is not looked at.
    fn own_files(&self, id: &str) -> PathBuf;

    /// Bytes of the regular files that belong to layer `id` alone.
    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError>;

    /// The size that the books give a layer that was unpacked so: what its headers tell, unless the driver measures.
    fn size_bytes(&self, unpacked: &Unpacked) -> u64 {
        unpacked.told_bytes
    }

    /// Removes layer `id`; what is gone already is no error.
    fn remove(&self, id: &str) -> Result<(), DriverError>;

    /// The cache IDs of all layers on disk, known to the store or not.
    fn all(&self) -> Result<Vec<String>, DriverError>;

    /// The directories of layer `id`.
    fn graph(&self, id: &str) -> Result<GraphData, DriverError>;
}

/// The driver to use below `data_root`, and why: the one that is named, or else the one that was used there before, or the first
/// that works there. Where two were used, one has to be named, as dockerd has it.
pub fn choose(name: Option<&str>, data_root: &Path) -> Result<(String, Choice), DriverError> {
    if let Some(name) = name {
        return Ok((name.to_owned(), Choice::Named));
    }
    let prior = prior(data_root)?.map(|prior| (prior, Choice::Prior));
    Ok(prior.unwrap_or_else(|| (known::first_choice(data_root).to_owned(), Choice::First)))
}

/// Makes something else of a driver.
pub type Around = fn(Box<dyn Driver>) -> Box<dyn Driver>;

static AROUND: OnceLock<Around> = OnceLock::new();

/// Has something else made of each driver that this process opens from now on: so a whole `layerlab` has a driver of somebody's own. Only the first
/// counts.
pub fn put_around_all(around: Around) {
    AROUND.get_or_init(|| around);
}

/// Opens the driver called `name` below `data_root`; without a name, the one that [`choose`] chooses.
pub fn open(name: Option<&str>, data_root: &Path) -> Result<Box<dyn Driver>, DriverError> {
    let (name, _) = choose(name, data_root)?;
    let refused = |why: String| DriverError::Unsupported(format!("error initializing graphdriver: {why}"));
    let names =
        || KNOWN.iter().filter(|known| known.is_built_in()).map(|known| known.name).collect::<Vec<_>>().join(", ");
    let way_out = || format!("; this engine has {}: choose one with --storage-driver or in daemon.json", names());
    let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
        return Err(refused(format!("driver not supported: {name:?} is unknown{}", way_out())));
    };
    match (known.open, known.availability(data_root)) {
        (Some(open), Availability::Supported(_)) => {
            let driver = open(data_root)?;
            Ok(match AROUND.get() {
                Some(around) => around(driver),
                None => driver,
            })
        }
        (_, Availability::NotSupported(why) | Availability::Supported(why)) => {
            Err(refused(format!("driver not supported: {name}: {why}{}", way_out())))
        }
    }
}

/// The driver whose layers lie below `data_root` already.
fn prior(data_root: &Path) -> Result<Option<String>, DriverError> {
    let image = data_root.join("image");
    let Ok(used) = image.read_dir() else { return Ok(None) };
    let used: HashSet<OsString> = used.flatten().map(|entry| entry.file_name()).collect();
    let has_layers = |name: &str| {
        used.contains(OsStr::new(name))
            && image.join(name).join("layerdb/sha256").read_dir().is_ok_and(|mut entries| entries.next().is_some())
    };
    let found: Vec<&str> = KNOWN.iter().map(|known| known.name).filter(|name| has_layers(name)).collect();
    match found[..] {
        [] => Ok(None),
        [only] => Ok(Some(only.to_owned())),
        _ => Err(DriverError::Unsupported(format!(
            "error initializing graphdriver: {} contains several valid graphdrivers: {}; Please cleanup or explicitly \
             choose storage driver (-s <DRIVER>)",
            data_root.display(),
            found.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_is_not_here_is_refused_with_what_there_is() {
        let root = tempfile::tempdir().unwrap();
        for name in ["aufs", "nosuchdriver"] {
            let Err(error) = open(Some(name), root.path()) else { panic!("{name} was opened") };
            let text = error.to_string();
            assert!(text.starts_with("error initializing graphdriver: driver not supported: "), "{text}");
            assert!(
                text.contains(name) && text.contains("this engine has overlay2, overlay, vfs, btrfs, fuse-overlayfs"),
                "{text}"
            );
        }
        assert_eq!(root.path().read_dir().unwrap().count(), 0);
    }

    /// Checklist: DL-23
    #[test]
    fn the_driver_that_was_used_before_is_used_again_and_two_are_one_too_many() {
        let root = tempfile::tempdir().unwrap();
        // Where layers lie already it is not tried whether they can.
        std::fs::create_dir(root.path().join("overlay")).unwrap();
        std::fs::create_dir_all(root.path().join("image/overlay/layerdb/sha256/aa")).unwrap();
        assert_eq!(choose(None, root.path()).unwrap(), ("overlay".to_owned(), Choice::Prior));
        assert_eq!(open(None, root.path()).unwrap().name(), "overlay");
        std::fs::create_dir_all(root.path().join("image/overlay2/layerdb/sha256/aa")).unwrap();
        let Err(error) = open(None, root.path()) else { panic!("one of two was chosen") };
        assert!(error.to_string().contains("several valid graphdrivers: overlay2, overlay; Please"), "{error}");
        assert_eq!(open(Some("overlay2"), root.path()).unwrap().name(), "overlay2");
        assert_eq!(choose(Some("overlay2"), root.path()).unwrap().1, Choice::Named);
    }
}
