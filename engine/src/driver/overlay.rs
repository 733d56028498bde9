//! Docker's legacy `overlay` driver: each image layer is a whole tree, which shares its files with the layer below.
//!
//! On disk (source: a recorded dockerd 20.10), below the data root:
//! ```text
//! overlay/<cache id>/  0710          a layer of an image
//!     root/                          everything from the base up to this layer: hard links to the files of the layer
//!                                    below, directories and symlinks of its own
//! overlay/<cache id>/  0710          the writable layer of a container, and the `-init` layer below it
//!     lower-id                       the cache ID of the image's top layer
//!     upper/                         what this layer adds; a container's begins as a copy of its `-init` layer's
//!     work/                          overlayfs's scratch directory
//!     merged/                        the mount of a running container; gone with it
//! ```
//! A mount has a single lower directory, `root` of the image's top layer. A layer that is unpacked replaces names in its
//! own tree and never writes to a file, since that file may be the lower layers' too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, exists_is_fine, failed, make_directory, write};
use super::merged::{self, MERGED};
use super::{Deviation, Driver, DriverError, GraphData, View, whole};
use crate::layer::{
    Change, Files, Kinship, OverlayXattr, Owners, Packed, UnpackError, Unpacked, changes, changes_of_all, copy_tree,
    lay_over,
};
use crate::sys::overlay::Overlay as Mount;

/// Docker's name of this driver.
pub const NAME: &str = "overlay";

/// What it does otherwise than others.
pub(super) const DEVIATIONS: &[Deviation] =
    &[Deviation::NullDevicesHide, Deviation::UnnamedDirectoriesStay, Deviation::DirectoryTimesUnseen];

/// Where the tree of a layer is built, until it is whole.
const UNFINISHED: &str = "tmproot";

/// Layers as directories below `<data root>/overlay`.
pub struct Overlay {
    home: PathBuf,
}

impl Overlay {
    /// Opens the driver's directory, making it when it is missing.
    pub fn open(data_root: &Path) -> Result<Overlay, DriverError> {
        let home = data_root.join(NAME);
        make_directory(&home, 0o710).or_else(exists_is_fine).map_err(failed("create", &home))?;
        Ok(Overlay { home })
    }

    fn layer(&self, id: &str) -> PathBuf {
        self.home.join(id)
    }

    /// The whole tree of an image's layer.
    fn root(&self, id: &str) -> PathBuf {
        self.layer(id).join("root")
    }

    /// The layer of an image that the layer `id` of a container lies on; nothing for a layer of an image.
    fn lower_id(&self, id: &str) -> Result<Option<String>, DriverError> {
        let path = self.layer(id).join("lower-id");
        match fs::read_to_string(&path) {
            Ok(lower) => Ok(Some(lower)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.root(id).is_dir() => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    fn upper(&self, id: &str) -> PathBuf {
        self.layer(id).join("upper")
    }

    /// How the layer with the directory `upper` came of the one whose own is `below`. A layer of an image has none, and shares the files that it
    /// left alone; what lies on a layer that is written to began as a copy of it.
    fn kinship<'a>(&self, upper: &'a Path, below: Option<&'a Path>) -> Kinship<'a> {
        match below.filter(|below| below.is_dir()) {
            _ if !upper.is_dir() => Kinship::Unknown,
            Some(below) => Kinship::CopiedUpper(upper, below, self.marks()),
            None => Kinship::Upper(upper, self.marks()),
        }
    }

    /// The overlay of a container's layer with its own directory writable.
    fn writable(&self, id: &str, lower_id: &str) -> Mount {
        let layer = self.layer(id);
        Mount { lower: vec![self.root(lower_id)], upper: Some((self.upper(id), layer.join("work"))) }
    }
}

impl Driver for Overlay {
    fn name(&self) -> &'static str {
        NAME
    }

    fn deviations(&self) -> &'static [Deviation] {
        DEVIATIONS
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        vec![("Backing Filesystem", files::backing_file_system(&self.home)), ("Supports d_type", "true".to_owned())]
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        let layer = self.layer(id);
        let lower_id = parent.map(|parent| self.lower_id(parent)).transpose()?;
        make_directory(&layer, 0o710).map_err(failed("create", &layer))?;
        let Some((parent, lower_id)) = parent.zip(lower_id) else {
            let root = self.root(id);
            return make_directory(&root, 0o755).map_err(failed("create", &root));
        };
        let (upper, work) = (layer.join("upper"), layer.join("work"));
        make_directory(&upper, 0o755).map_err(failed("create", &upper))?;
        make_directory(&work, 0o700).map_err(failed("create", &work))?;
        let lower_id = match lower_id {
            Some(lower_id) => {
                copy_tree(&self.upper(parent), &upper, Files::Copied, self.marks())?;
                lower_id
            }
            None => {
                let root = self.root(parent);
                let mode = fs::metadata(&root).map_err(failed("look at", &root))?.permissions();
                fs::set_permissions(&upper, mode).map_err(failed("chmod", &upper))?;
                parent.to_owned()
            }
        };
        write(&layer.join("lower-id"), lower_id.as_bytes(), 0o600)
    }

    fn unpack(
        &self,
        tar: &mut dyn io::Read,
        content: &Path,
        owners: Owners,
        record: &mut dyn io::Write,
    ) -> Result<Unpacked, UnpackError> {
        whole::unpack(tar, content, self.marks(), owners, record)
    }

    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        let layer = self.layer(id);
        let below = parent.map(|parent| self.root(parent));
        if let Some(below) = &below {
            fs::metadata(below).map_err(failed("look at", below))?;
        }
        make_directory(&layer, 0o710).map_err(failed("create", &layer))?;
        let unfinished = layer.join(UNFINISHED);
        make_directory(&unfinished, 0o755).map_err(failed("create", &unfinished))?;
        if let Some(below) = &below {
            copy_tree(below, &unfinished, Files::Linked, self.marks())?;
        }
        lay_over(content, &unfinished, self.marks())?;
        fs::rename(&unfinished, self.root(id)).map_err(failed("rename", &unfinished))
    }

    fn marks(&self) -> OverlayXattr {
        merged::marks()
    }

    fn attach(&self, id: &str) -> Result<PathBuf, DriverError> {
        match self.lower_id(id)? {
            Some(lower_id) => merged::attach(&self.writable(id, &lower_id), &self.layer(id)),
            None => Err(failed("mount", &self.root(id))(io::Error::other("a layer of an image is never written to"))),
        }
    }

    fn attached_at(&self, id: &str) -> PathBuf {
        self.layer(id).join(MERGED)
    }

    fn detach(&self, id: &str) -> Result<(), DriverError> {
        merged::detach(&self.layer(id))
    }

    fn view(&self, id: &str) -> Result<View, DriverError> {
        let layer = self.layer(id);
        let Some(lower_id) = self.lower_id(id)? else { return Ok(View::of(self.root(id))) };
        match merged::attached(&layer)? {
            Some(view) => Ok(view),
            None => {
                let lower = vec![self.upper(id), self.root(&lower_id)];
                merged::detached(&Mount { lower, upper: None }, &layer)
            }
        }
    }

    fn edit(&self, id: &str) -> Result<View, DriverError> {
        if let Some(view) = merged::attached(&self.layer(id))? {
            return Ok(view);
        }
        match self.lower_id(id)? {
            Some(lower_id) => merged::detached(&self.writable(id, &lower_id), &self.layer(id)),
            None => Ok(View::of(self.root(id))),
        }
    }

    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let (old, new) = (self.view(parent)?, self.view(id)?);
        let (below, upper) = (self.upper(parent), self.upper(id));
        let kinship = self.kinship(&upper, Some(&below));
        // Of what lies between them its own directory tells nothing.
        let (lower, parents) = (self.lower_id(id)?, self.lower_id(parent)?);
        let is_right_below = lower.as_deref() == Some(parents.as_deref().unwrap_or(parent));
        let compare = if is_right_below { changes } else { changes_of_all };
        Ok(compare(old.path(), new.path(), kinship)?)
    }

    fn pack(&self, id: &str, parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError> {
        let (old, new) = (parent.map(|parent| self.view(parent)).transpose()?, self.view(id)?);
        let (below, upper) = (parent.map(|parent| self.upper(parent)), self.upper(id));
        let kinship = self.kinship(&upper, below.as_deref());
        whole::pack_difference(old.as_ref().map(View::path), new.path(), kinship, &self.home, out)
    }

    fn own_files(&self, id: &str) -> PathBuf {
        self.root(id)
    }

    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError> {
        let below = whole::init_of(id);
        if !self.layer(&below).is_dir() {
            let own = if self.lower_id(id)?.is_some() { self.upper(id) } else { self.root(id) };
            return files::size_below(&own).map_err(failed("measure", &own));
        }
        // The upper directory has what the layer below had in its own.
        let (copied, upper) = (self.upper(&below), self.upper(id));
        let kinship = self.kinship(&upper, Some(&copied));
        whole::difference_bytes(self.view(&below)?.path(), self.view(id)?.path(), kinship)
    }

    fn remove(&self, id: &str) -> Result<(), DriverError> {
        self.detach(id)?;
        merged::remove(&self.layer(id))
    }

    fn all(&self) -> Result<Vec<String>, DriverError> {
        files::names_in(&self.home)
    }

    fn graph(&self, id: &str) -> Result<GraphData, DriverError> {
        let shown = |path: PathBuf| path.display().to_string();
        let layer = self.layer(id);
        let data = match self.lower_id(id)? {
            None => vec![("RootDir".to_owned(), shown(self.root(id)))],
            Some(lower_id) => vec![
                ("LowerDir".to_owned(), shown(self.root(&lower_id))),
                ("MergedDir".to_owned(), shown(layer.join(MERGED))),
                ("UpperDir".to_owned(), shown(layer.join("upper"))),
                ("WorkDir".to_owned(), shown(layer.join("work"))),
            ],
        };
        Ok(GraphData { name: NAME.to_owned(), data })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    /// A base layer `a` with a file, and `b` on it with another.
    fn driver() -> (tempfile::TempDir, Overlay) {
        let root = tempfile::tempdir().unwrap();
        let driver = Overlay::open(root.path()).unwrap();
        for (id, parent, file) in [("a", None, "one"), ("b", Some("a"), "two")] {
            let content = root.path().join("content");
            fs::create_dir(&content).unwrap();
            fs::write(content.join(file), id).unwrap();
            driver.adopt(id, parent, &content).unwrap();
            fs::remove_dir(content).unwrap();
        }
        (root, driver)
    }

    /// Checklist: DL-25~
    #[test]
    fn a_layer_shares_its_files_with_the_layer_below() {
        let (_root, driver) = driver();
        let inode = |id, file| fs::metadata(driver.root(id).join(file)).unwrap().ino();
        assert_eq!(inode("a", "one"), inode("b", "one"));
        assert!(!driver.root("a").join("two").exists() && driver.root("b").join("two").exists());
        driver.remove("b").unwrap();
        assert_eq!(fs::read_to_string(driver.root("a").join("one")).unwrap(), "a");
    }

    #[test]
    fn a_container_lies_on_the_image_and_begins_with_what_its_init_layer_has() {
        let (_root, driver) = driver();
        driver.create("c-init", Some("b")).unwrap();
        fs::write(driver.layer("c-init").join("upper/.dockerenv"), "").unwrap();
        driver.create("c", Some("c-init")).unwrap();
        assert_eq!(fs::read_to_string(driver.layer("c").join("lower-id")).unwrap(), "b");
        assert!(driver.layer("c").join("upper/.dockerenv").exists());
        let lower = &driver.graph("c").unwrap().data[0];
        assert_eq!(*lower, ("LowerDir".to_owned(), driver.root("b").display().to_string()));
        assert_eq!(driver.graph("b").unwrap().data.len(), 1);
    }

    /// Checklist: DF-05
    #[test]
    fn a_layer_packs_to_what_it_changes_against_its_parent() {
        let (_root, driver) = driver();
        let packed = |id, parent| driver.pack(id, parent, &mut io::sink()).unwrap();
        assert_eq!(packed("b", Some("a")).entries, 1);
        assert_eq!(packed("b", None).entries, 2);
        assert_eq!(packed("a", Some("b")), packed("a", Some("b")), "the whiteout of `two` has a time of its own");
    }
}
