//! The trees of a layer and of the one below it, for bugs in how the two are compared.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use layerlab_engine::driver::{Driver, DriverError, View};

use crate::bug::{below, is_whiteout_at};
use crate::tars::{self, Entry};

/// Both trees, as long as the value lives.
pub struct Trees {
    old: Option<View>,
    new: View,
}

impl Trees {
    /// Of layer `id` and of `parent`, which may be none.
    pub fn of(driver: &dyn Driver, id: &str, parent: Option<&str>) -> Result<Trees, DriverError> {
        let old = parent.map(|parent| driver.view(parent)).transpose()?;
        Ok(Trees { old, new: driver.view(id)? })
    }

    /// What was at `path`, which may begin with `/`.
    pub fn was(&self, path: &Path) -> Option<Metadata> {
        within(self.old.as_ref()?.path(), path).symlink_metadata().ok()
    }

    /// What is at `path`.
    pub fn is(&self, path: &Path) -> Option<Metadata> {
        within(self.new.path(), path).symlink_metadata().ok()
    }

    /// Every path of the tree below, from its root, in the order of a walk: what is in a directory comes right after it.
    pub fn old_paths(&self) -> io::Result<Vec<PathBuf>> {
        self.old.as_ref().map_or(Ok(Vec::new()), |old| walk(old.path()))
    }

    /// The same of the layer's tree.
    pub fn new_paths(&self) -> io::Result<Vec<PathBuf>> {
        walk(self.new.path())
    }
}

/// `path` in the tree at `root`.
pub fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn walk(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        below(root)?.iter().map(|path| Path::new("/").join(path.strip_prefix(root).unwrap_or(path))).collect();
    // Name by name.
    paths.sort();
    Ok(paths)
}

/// The directories of the layers below `id`, the nearest first, as the driver overlay2 notes them.
pub fn lowers(driver: &dyn Driver, id: &str) -> Vec<PathBuf> {
    let layer = driver.own_files(id);
    let (Some(layer), Some(home)) = (layer.parent(), layer.ancestors().nth(2)) else { return Vec::new() };
    let noted = std::fs::read_to_string(layer.join("lower")).unwrap_or_default();
    noted.split(':').filter(|link| !link.is_empty()).map(|link| home.join(link)).collect()
}

/// What the nearest of `lowers` that says anything of `path` has there; a whiteout says nothing.
pub fn in_lowers(lowers: &[PathBuf], path: &Path) -> Option<PathBuf> {
    let places = lowers.iter().map(|lower| within(lower, path));
    places.into_iter().find(|place| place.symlink_metadata().is_ok() && !is_whiteout_at(place))
}

/// Packs layer `id`, and leaves out the entries that `is_left_out` says; it is asked with the path of each.
pub fn packed_without(
    driver: &dyn Driver,
    (id, parent): (&str, Option<&str>),
    out: &mut dyn io::Write,
    mut is_left_out: impl FnMut(&Entry, &Path) -> bool,
) -> Result<layerlab_engine::layer::Packed, DriverError> {
    let failed = |source| DriverError::Io { operation: "seed a bug in the tar of", path: id.into(), source };
    let mut bytes = Vec::new();
    let packed = driver.pack(id, parent, &mut bytes)?;
    let bytes = tars::changed(bytes, |entries| {
        entries.retain(|entry| !is_left_out(entry, Path::new(&String::from_utf8_lossy(&entry.path()).into_owned())));
    });
    bytes.and_then(|bytes| out.write_all(&bytes)).map_err(failed)?;
    Ok(packed)
}
