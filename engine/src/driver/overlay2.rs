//! The `overlay2` driver: one kernel overlay per container, one directory per layer.
//!
//! On disk (source: a recorded dockerd 20.10), below the data root:
//! ```text
//! overlay2/l/<link>            -> ../<cache id>/diff   short names, so that many layers fit one mount option
//! overlay2/<cache id>/  0710
//!     diff/                    what this layer adds: files, whiteouts (0:0 devices), opaque directories (xattr)
//!     link                     its short name, 26 characters
//!     lower                    l/<parent>:l/<grandparent>:…   (not in a base layer)
//!     work/                    overlayfs's scratch directory  (not in a base layer)
//!     committed                empty; something lies on top, so this layer is mounted read-only
//!     merged/                  the mount of a running container; gone with it
//! ```
//! Lower layers are read where they lie; copy-up and whiteouts are the kernel's.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::files::{self, exists_is_fine, failed, gone_is_fine, make_directory, write};
use super::merged::{self, MERGED};
use super::{Driver, DriverError, GraphData, View};
use crate::layer::{Change, OverlayXattr, Packed, Unpacked, changes, pack};
use crate::sys::namespace;
use crate::sys::overlay::Overlay;
use crate::sys::random::KernelEntropy;
use crate::world::Entropy;

/// Docker's name of this driver.
pub const NAME: &str = "overlay2";

/// Of the kernel's 500 lower directories (`OVL_MAX_STACK`) a view of a container takes one for its own layer and one for
/// its `-init` layer.
const LAYERS_MAX: usize = 498;

/// Layers as directories below `<data root>/overlay2`.
pub struct Overlay2 {
    home: PathBuf,
}

impl Overlay2 {
    /// Opens the driver's directory, making it when it is missing.
    pub fn open(data_root: &Path) -> Result<Overlay2, DriverError> {
        let home = data_root.join(NAME);
        for (directory, mode) in [(home.clone(), 0o710), (home.join("l"), 0o700)] {
            make_directory(&directory, mode).or_else(exists_is_fine).map_err(failed("create", &directory))?;
        }
        Ok(Overlay2 { home })
    }

    fn layer(&self, id: &str) -> PathBuf {
        self.home.join(id)
    }

    fn read(&self, id: &str, file: &'static str) -> Result<String, DriverError> {
        let path = self.layer(id).join(file);
        fs::read_to_string(&path).map_err(failed("open", &path))
    }

    /// The `lower` file of `id`: short names of all layers below, the nearest first.
    fn lower_links(&self, id: &str) -> Result<Vec<String>, DriverError> {
        let path = self.layer(id).join("lower");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.split(':').map(str::to_owned).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    fn lower_mounts(&self, id: &str) -> Result<Vec<PathBuf>, DriverError> {
        Ok(self.lower_links(id)?.iter().map(|link| self.home.join(link)).collect())
    }

    /// Everything but `diff` and the short link, in a directory that must be new.
    fn lay_out(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        let directory = self.layer(id);
        make_directory(&directory, 0o710).map_err(failed("create", &directory))?;
        if let Some(parent) = parent {
            let mut lower = vec![format!("l/{}", self.read(parent, "link")?)];
            lower.extend(self.lower_links(parent)?);
            write(&directory.join("lower"), lower.join(":").as_bytes(), 0o644)?;
            let work = directory.join("work");
            make_directory(&work, 0o700).map_err(failed("create", &work))?;
            write(&self.layer(parent).join("committed"), b"", 0o600)?;
        }
        Ok(())
    }

    /// The layer knows its short name before that is there: whoever is killed in between leaves nothing that cannot be found.
    fn link(&self, id: &str) -> Result<(), DriverError> {
        let link = KernelEntropy.link_id();
        write(&self.layer(id).join("link"), link.as_bytes(), 0o644)?;
        let path = self.home.join("l").join(&link);
        symlink(Path::new("..").join(id).join("diff"), &path).map_err(failed("symlink", &path))
    }

    /// The overlay of a layer with its own directory writable.
    fn writable(&self, id: &str) -> Result<Overlay, DriverError> {
        let layer = self.layer(id);
        Ok(Overlay { lower: self.lower_mounts(id)?, upper: Some((layer.join("diff"), layer.join("work"))) })
    }
}

impl Driver for Overlay2 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn layers_max(&self) -> usize {
        LAYERS_MAX
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Backing Filesystem", files::backing_file_system(&self.home)),
            ("Supports d_type", "true".to_owned()),
            ("Native Overlay Diff", "true".to_owned()),
            ("userxattr", namespace::is_user_namespace().to_string()),
        ]
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        self.lay_out(id, parent)?;
        let diff = self.layer(id).join("diff");
        make_directory(&diff, 0o755).map_err(failed("create", &diff))?;
        self.link(id)
    }

    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        self.lay_out(id, parent)?;
        fs::rename(content, self.layer(id).join("diff")).map_err(failed("rename", content))?;
        self.link(id)
    }

    fn marks(&self) -> OverlayXattr {
        merged::marks()
    }

    fn attach(&self, id: &str) -> Result<PathBuf, DriverError> {
        merged::attach(&self.writable(id)?, &self.layer(id))
    }

    fn attached_at(&self, id: &str) -> PathBuf {
        self.layer(id).join(MERGED)
    }

    fn detach(&self, id: &str) -> Result<(), DriverError> {
        merged::detach(&self.layer(id))
    }

    fn view(&self, id: &str) -> Result<View, DriverError> {
        let layer = self.layer(id);
        if let Some(view) = merged::attached(&layer)? {
            return Ok(view);
        }
        let diff = layer.join("diff");
        let mut lower = vec![diff.clone()];
        lower.extend(self.lower_mounts(id)?);
        if lower.len() == 1 {
            return Ok(View { path: diff, detached: None });
        }
        merged::detached(&Overlay { lower, upper: None }, &layer)
    }

    fn edit(&self, id: &str) -> Result<View, DriverError> {
        if let Some(view) = merged::attached(&self.layer(id))? {
            return Ok(view);
        }
        let overlay = self.writable(id)?;
        if overlay.lower.is_empty() {
            return Ok(View { path: self.layer(id).join("diff"), detached: None });
        }
        merged::detached(&overlay, &self.layer(id))
    }

    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let (old, new) = (self.view(parent)?, self.view(id)?);
        Ok(changes(old.path(), new.path())?)
    }

    fn pack(&self, id: &str, _parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError> {
        merged::with_pack_options(|options| Ok(pack(&self.layer(id).join("diff"), options, out)?))
    }

    fn own_files(&self, id: &str) -> PathBuf {
        self.layer(id).join("diff")
    }

    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError> {
        let diff = self.layer(id).join("diff");
        files::size_below(&diff).map_err(failed("measure", &diff))
    }

    /// dockerd measures the directory here, where a symbolic link is as long as its target; its other drivers add up headers.
    fn size_bytes(&self, unpacked: &Unpacked) -> u64 {
        unpacked.size_bytes
    }

    fn remove(&self, id: &str) -> Result<(), DriverError> {
        self.detach(id)?;
        let directory = self.layer(id);
        if let Ok(link) = self.read(id, "link")
            && !link.is_empty()
        {
            let path = self.home.join("l").join(link);
            fs::remove_file(&path).or_else(gone_is_fine).map_err(failed("remove", &path))?;
        }
        merged::remove(&directory)
    }

    fn all(&self) -> Result<Vec<String>, DriverError> {
        Ok(files::names_in(&self.home)?.into_iter().filter(|name| name != "l").collect())
    }

    fn graph(&self, id: &str) -> Result<GraphData, DriverError> {
        let mut lower = Vec::new();
        for link in self.lower_mounts(id)? {
            let target = fs::read_link(&link).map_err(failed("readlink", &link))?;
            lower.push(self.home.join(target.strip_prefix("..").unwrap_or(&target)).display().to_string());
        }
        let directory = |name: &str| self.layer(id).join(name).display().to_string();
        let mut data = Vec::new();
        if !lower.is_empty() {
            data.push(("LowerDir".to_owned(), lower.join(":")));
        }
        data.push(("MergedDir".to_owned(), directory(MERGED)));
        data.push(("UpperDir".to_owned(), directory("diff")));
        data.push(("WorkDir".to_owned(), directory("work")));
        Ok(GraphData { name: NAME.to_owned(), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver() -> (tempfile::TempDir, Overlay2) {
        let root = tempfile::tempdir().unwrap();
        let driver = Overlay2::open(root.path()).unwrap();
        (root, driver)
    }

    /// Checklist: DL-14
    #[test]
    fn a_layer_names_all_below_it_the_nearest_first() {
        let (_root, driver) = driver();
        for (id, parent) in [("a", None), ("b", Some("a")), ("c", Some("b"))] {
            driver.create(id, parent).unwrap();
        }
        let link = |id| format!("l/{}", driver.read(id, "link").unwrap());
        assert_eq!(driver.read("c", "lower").unwrap(), [link("b"), link("a")].join(":"));
        assert!(driver.read("a", "lower").is_err());
        assert!(driver.layer("b").join("committed").exists());
        assert!(!driver.layer("c").join("committed").exists());
    }

    /// Checklist: CR-04~
    #[test]
    fn a_layer_whose_making_was_cut_off_can_be_removed() {
        let (_root, driver) = driver();
        for made in ["", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"] {
            driver.lay_out("a", None).unwrap();
            fs::write(driver.layer("a").join("link"), made).unwrap();
            driver.remove("a").unwrap();
            assert!(driver.all().unwrap().is_empty() && driver.home.join("l").exists());
        }
    }

    /// Checklist: DL-06
    #[test]
    fn a_removed_layer_takes_its_short_name_along() {
        let (_root, driver) = driver();
        driver.create("a", None).unwrap();
        driver.remove("a").unwrap();
        driver.remove("a").unwrap();
        assert_eq!(fs::read_dir(driver.home.join("l")).unwrap().count(), 0);
        assert!(driver.all().unwrap().is_empty());
    }

    #[test]
    fn a_base_layer_has_no_lower_directory_in_its_graph_data() {
        let (_root, driver) = driver();
        driver.create("a", None).unwrap();
        driver.create("b", Some("a")).unwrap();
        let keys = |id| driver.graph(id).unwrap().data.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys("a"), ["MergedDir", "UpperDir", "WorkDir"]);
        assert_eq!(keys("b"), ["LowerDir", "MergedDir", "UpperDir", "WorkDir"]);
    }
}
