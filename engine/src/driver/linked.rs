//! Layers as directories with short names: what the drivers `overlay2` and `fuse-overlayfs` keep on disk alike.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::DriverError;
use super::files::{self, exists_is_fine, failed, gone_is_fine, make_directory, write};
use super::merged::{self, MERGED};
use crate::layer::{Change, Kinship, OverlayXattr, changes, changes_of_all};
use crate::sys::random::KernelEntropy;
use crate::world::Entropy;

/// The layers in a driver's directory; the drawing of it is in [`super::overlay2`].
pub(super) struct Linked {
    home: PathBuf,
    work_mode: u32,
}

impl Linked {
    /// Opens the directory `home`, making it when it is missing; `work_mode` is the mode of a layer's scratch directory.
    pub(super) fn open(home: PathBuf, work_mode: u32) -> Result<Linked, DriverError> {
        for (directory, mode) in [(home.clone(), 0o710), (home.join("l"), 0o700)] {
            make_directory(&directory, mode).or_else(exists_is_fine).map_err(failed("create", &directory))?;
        }
        Ok(Linked { home, work_mode })
    }

    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn layer(&self, id: &str) -> PathBuf {
        self.home.join(id)
    }

    /// What layer `id` adds.
    pub(super) fn diff(&self, id: &str) -> PathBuf {
        self.layer(id).join("diff")
    }

    /// The scratch directory of layer `id`.
    pub(super) fn work(&self, id: &str) -> PathBuf {
        self.layer(id).join("work")
    }

    /// A note of layer `id`; one that is empty is none, since a power cut may have emptied it.
    fn read(&self, id: &str, file: &'static str) -> Result<String, DriverError> {
        let path = self.layer(id).join(file);
        let text = fs::read_to_string(&path).map_err(failed("open", &path))?;
        if text.is_empty() {
            let empty =
                io::Error::new(io::ErrorKind::InvalidData, "it is empty: `layerlab check` says what that means");
            return Err(failed("read", &path)(empty));
        }
        Ok(text)
    }

    /// The `lower` file of `id`: short names of all layers below, the nearest first, relative to `home`.
    pub(super) fn lower(&self, id: &str) -> Result<Vec<String>, DriverError> {
        match self.read(id, "lower") {
            Ok(text) => Ok(text.split(':').map(str::to_owned).collect()),
            Err(DriverError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// What the `lower` file of a layer on `parent` is to say.
    fn lower_above(&self, parent: &str) -> Result<Vec<String>, DriverError> {
        let mut lower = vec![format!("l/{}", self.read(parent, "link")?)];
        lower.extend(self.lower(parent)?);
        Ok(lower)
    }

    /// What the tree `new` of layer `id` changes against the tree `old` of `parent`. Of layers between them its own directory tells nothing.
    pub(super) fn changes(
        &self,
        (id, new): (&str, &Path),
        (parent, old): (&str, &Path),
        marks: OverlayXattr,
    ) -> Result<Vec<Change>, DriverError> {
        let upper = self.diff(id);
        let kinship = Kinship::Upper(&upper, marks);
        let is_right_below = self.lower(id)?.first() == self.lower_above(parent)?.first();
        Ok(if is_right_below { changes(old, new, kinship)? } else { changes_of_all(old, new, kinship)? })
    }

    /// Makes an empty layer.
    pub(super) fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        self.lay_out(id, parent)?;
        let diff = self.diff(id);
        make_directory(&diff, 0o755).map_err(failed("create", &diff))?;
        self.link(id)
    }

    /// Makes a layer of the directory `content`, which moves there.
    pub(super) fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        self.lay_out(id, parent)?;
        fs::rename(content, self.diff(id)).map_err(failed("rename", content))?;
        self.link(id)
    }

    /// Everything but `diff` and the short link, in a directory that must be new.
    fn lay_out(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        let lower = parent.map(|parent| self.lower_above(parent)).transpose()?;
        let directory = self.layer(id);
        make_directory(&directory, 0o710).map_err(failed("create", &directory))?;
        if let Some((parent, lower)) = parent.zip(lower) {
            write(&directory.join("lower"), lower.join(":").as_bytes(), 0o644)?;
            let work = self.work(id);
            make_directory(&work, self.work_mode).map_err(failed("create", &work))?;
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

    /// Removes a layer that is not mounted, and its short name; what is gone already is no error.
    pub(super) fn remove(&self, id: &str) -> Result<(), DriverError> {
        if let Ok(link) = self.read(id, "link") {
            let path = self.home.join("l").join(link);
            fs::remove_file(&path).or_else(gone_is_fine).map_err(failed("remove", &path))?;
        }
        merged::remove(&self.layer(id))
    }

    /// The names of all layers.
    pub(super) fn all(&self) -> Result<Vec<String>, DriverError> {
        Ok(files::names_in(&self.home)?.into_iter().filter(|name| name != "l").collect())
    }

    /// The directories of layer `id`, as an inspection shows them.
    pub(super) fn graph(&self, id: &str) -> Result<Vec<(String, String)>, DriverError> {
        let mut lower = Vec::new();
        for link in self.lower(id)?.iter().map(|link| self.home.join(link)) {
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
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> (tempfile::TempDir, Linked) {
        let root = tempfile::tempdir().unwrap();
        let layers = Linked::open(root.path().join("home"), 0o700).unwrap();
        (root, layers)
    }

    /// Checklist: DL-14
    #[test]
    fn a_layer_names_all_below_it_the_nearest_first() {
        let (_root, layers) = layers();
        for (id, parent) in [("a", None), ("b", Some("a")), ("c", Some("b"))] {
            layers.create(id, parent).unwrap();
        }
        let link = |id| format!("l/{}", layers.read(id, "link").unwrap());
        assert_eq!(layers.read("c", "lower").unwrap(), [link("b"), link("a")].join(":"));
        assert!(layers.read("a", "lower").is_err());
        assert!(layers.layer("b").join("committed").exists());
        assert!(!layers.layer("c").join("committed").exists());
    }

    /// Checklist: CR-04~
    #[test]
    fn a_layer_whose_making_was_cut_off_can_be_removed() {
        let (_root, layers) = layers();
        for made in ["", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"] {
            layers.lay_out("a", None).unwrap();
            fs::write(layers.layer("a").join("link"), made).unwrap();
            layers.remove("a").unwrap();
            assert!(layers.all().unwrap().is_empty() && layers.home.join("l").exists());
        }
    }

    /// Checklist: DL-06
    #[test]
    fn a_removed_layer_takes_its_short_name_along() {
        let (_root, layers) = layers();
        layers.create("a", None).unwrap();
        layers.remove("a").unwrap();
        layers.remove("a").unwrap();
        assert_eq!(fs::read_dir(layers.home.join("l")).unwrap().count(), 0);
        assert!(layers.all().unwrap().is_empty());
    }

    #[test]
    fn a_base_layer_has_no_lower_directory_in_its_graph_data() {
        let (_root, layers) = layers();
        layers.create("a", None).unwrap();
        layers.create("b", Some("a")).unwrap();
        let keys = |id| layers.graph(id).unwrap().into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys("a"), ["MergedDir", "UpperDir", "WorkDir"]);
        assert_eq!(keys("b"), ["LowerDir", "MergedDir", "UpperDir", "WorkDir"]);
    }
}
