//! What the drivers share for which only a comparison of whole trees tells what is a layer's own: `overlay` and `fuse-overlayfs`; and
//! all but the making of `vfs` and `btrfs`, whose layers are whole trees side by side.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{self, failed, gone_is_fine};
use super::{Deviation, Driver, DriverError, GraphData, View, merged};
use crate::layer::{
    Change, ChangeKind, Contents, Kinship, OverlayXattr, Owners, Packed, UnpackError, UnpackOptions, Unpacked, changes,
    changes_and_links, lay_over, note_unnamed, pack_changes, unpack_recording,
};
use crate::sys::removal::remove_tree;

/// What the layer below a container's own is called, behind its name.
const INIT: &str = "-init";

/// A driver whose every layer, an image's or a container's, is a whole tree in `home` under its name: nothing is mounted.
pub(super) trait Trees: Send + Sync {
    /// Docker's name of the driver.
    const NAME: &'static str;

    /// How a tree came of the one that it was made of.
    const KINSHIP: Kinship<'static>;

    /// What the driver does otherwise than others.
    const DEVIATIONS: &'static [Deviation];

    /// The directory of the layers.
    fn home(&self) -> &Path;

    /// Makes the tree `layer`: empty, or what `parent` is.
    fn make(&self, layer: &Path, parent: Option<&Path>) -> Result<(), DriverError>;

    /// Removes the tree `layer`.
    fn remove_tree(&self, layer: &Path) -> io::Result<()> {
        remove_tree(layer)
    }
}

impl<T: Trees> Driver for T {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn deviations(&self) -> &'static [Deviation] {
        T::DEVIATIONS
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        let parent = parent.map(|parent| self.home().join(parent));
        if let Some(parent) = &parent {
            fs::metadata(parent).map_err(failed("look at", parent))?;
        }
        self.make(&self.home().join(id), parent.as_deref())
    }

    fn unpack(
        &self,
        tar: &mut dyn io::Read,
        content: &Path,
        owners: Owners,
        record: &mut dyn io::Write,
    ) -> Result<Unpacked, UnpackError> {
        unpack(tar, content, self.marks(), owners, record)
    }

    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        self.create(id, parent)?;
        Ok(lay_over(content, &self.home().join(id), self.marks())?)
    }

    fn marks(&self) -> OverlayXattr {
        OverlayXattr::None
    }

    fn attach(&self, id: &str) -> Result<PathBuf, DriverError> {
        Ok(self.attached_at(id))
    }

    fn attached_at(&self, id: &str) -> PathBuf {
        self.home().join(id)
    }

    fn detach(&self, _id: &str) -> Result<(), DriverError> {
        Ok(())
    }

    fn view(&self, id: &str) -> Result<View, DriverError> {
        Ok(View::of(self.home().join(id)))
    }

    fn edit(&self, id: &str) -> Result<View, DriverError> {
        self.view(id)
    }

    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        Ok(changes(&self.home().join(parent), &self.home().join(id), T::KINSHIP)?)
    }

    fn pack(&self, id: &str, parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError> {
        let below = parent.map(|parent| self.home().join(parent));
        pack_difference(below.as_deref(), &self.home().join(id), T::KINSHIP, self.home(), out)
    }

    fn own_files(&self, id: &str) -> PathBuf {
        self.home().join(id)
    }

    /// Of a container's own layer only what differs from the one below it is its own.
    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError> {
        let (layer, below) = (self.home().join(id), self.home().join(init_of(id)));
        if !below.is_dir() {
            return files::size_below(&layer).map_err(failed("measure", &layer));
        }
        difference_bytes(&below, &layer, T::KINSHIP)
    }

    fn remove(&self, id: &str) -> Result<(), DriverError> {
        let layer = self.home().join(id);
        self.remove_tree(&layer).or_else(gone_is_fine).map_err(failed("remove", &layer))
    }

    fn all(&self) -> Result<Vec<String>, DriverError> {
        files::names_in(self.home())
    }

    fn graph(&self, _id: &str) -> Result<GraphData, DriverError> {
        Ok(GraphData { name: T::NAME.to_owned(), data: Vec::new() })
    }
}

/// Unpacks a layer that is to be laid over the whole tree of the one below, and notes in `content` which directories its tar says nothing of.
pub(super) fn unpack(
    tar: &mut dyn io::Read,
    content: &Path,
    overlay: OverlayXattr,
    owners: Owners,
    record: &mut dyn io::Write,
) -> Result<Unpacked, UnpackError> {
    let options = UnpackOptions { contents: Contents::Layer, overlay, owners };
    let unpacked = unpack_recording(tar, content, &options, record)?;
    note_unnamed(&unpacked, content)?;
    Ok(unpacked)
}

/// The name of the layer below a container's own, `id`.
pub(super) fn init_of(id: &str) -> String {
    format!("{id}{INIT}")
}

/// Writes the layer tar of what `tree` has otherwise than the tree `below`, or than nothing; `scratch` is a place for a moment.
pub(super) fn pack_difference(
    below: Option<&Path>,
    tree: &Path,
    kinship: Kinship<'_>,
    scratch: &Path,
    out: &mut dyn io::Write,
) -> Result<Packed, DriverError> {
    let found = match below {
        Some(below) => changes_and_links(below, tree, kinship)?,
        None => {
            let nothing = tempfile::tempdir_in(scratch).map_err(failed("create", scratch))?;
            changes_and_links(nothing.path(), tree, Kinship::Unknown)?
        }
    };
    merged::with_pack_options(|options| Ok(pack_changes(tree, &found, options, out)?))
}

/// What counts of what `tree` has otherwise than the tree `below`.
pub(super) fn difference_bytes(below: &Path, tree: &Path, kinship: Kinship<'_>) -> Result<u64, DriverError> {
    let mut found = Vec::new();
    for change in changes(below, tree, kinship)?.iter().filter(|change| change.kind != ChangeKind::Deleted) {
        let path = tree.join(change.path.strip_prefix("/").unwrap_or(&change.path));
        let meta = fs::symlink_metadata(&path).map_err(failed("look at", &path))?;
        found.extend(files::counted(&meta));
    }
    Ok(files::counted_bytes(found))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;
    use crate::driver::overlay::Overlay;
    use crate::driver::vfs::Vfs;
    use crate::layer::STAYS;

    /// A layer tar of a file in `d`, and of a root and a `d` of this mode, if of any.
    fn tar(directories: Option<u32>) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_mtime(1_000_000_000);
        if let Some(mode) = directories {
            header.set_mode(mode);
            header.set_entry_type(tar::EntryType::Directory);
            builder.append_data(&mut header, "./", io::empty()).unwrap();
            builder.append_data(&mut header, "d/", io::empty()).unwrap();
            header.set_entry_type(tar::EntryType::Regular);
        }
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("d/of-{directories:?}"), io::empty()).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn directories_that_a_layer_says_nothing_of_are_those_below() {
        for name in ["vfs", "overlay"] {
            let place = tempfile::tempdir().unwrap();
            // Only its own files are looked at: it need not be able to mount.
            let driver: Box<dyn Driver> = match name {
                "vfs" => Box::new(Vfs::open(place.path()).unwrap()),
                _ => Box::new(Overlay::open(place.path()).unwrap()),
            };
            let mut below = None;
            for (id, directories, wanted) in
                [("a", None, 0o755), ("b", Some(0o1711), 0o1711), ("c", None, 0o1711), ("d", Some(0o700), 0o700)]
            {
                let content = tempfile::tempdir_in(place.path()).unwrap();
                fs::set_permissions(content.path(), fs::Permissions::from_mode(0o755)).unwrap();
                driver.unpack(&mut &tar(directories)[..], content.path(), Owners::CallerOnly, &mut io::sink()).unwrap();
                driver.adopt(id, below, content.path()).unwrap();
                below = Some(id);
                for directory in [driver.own_files(id), driver.own_files(id).join("d")] {
                    let found = fs::metadata(&directory).unwrap();
                    assert_eq!(found.mode() & 0o7777, wanted, "{name}, {id}, {}", directory.display());
                    assert!(id == "a" || found.mtime() == 1_000_000_000, "{name}, {id}, {}", directory.display());
                    assert!(!directory.join(STAYS).exists());
                }
            }
        }
    }
}
