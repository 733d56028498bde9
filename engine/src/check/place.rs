//! Where things lie below a data root, for each storage driver that can be checked.

use std::io;
use std::path::{Path, PathBuf};

use super::CheckError;
use crate::driver::{self, KNOWN, btrfs, fuse_overlayfs, overlay, overlay2, vfs};

/// A data root, and the driver whose layers are to be checked.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where images and containers lie.
    pub data_root: PathBuf,
    /// Where containers that run have their files.
    pub exec_root: PathBuf,
    layout: Layout,
}

/// How a driver lays its directories out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Overlay2,
    Overlay,
    Vfs,
    Btrfs,
    FuseOverlayfs,
}

impl Place {
    /// The data root, with the driver that is named or that was used there. Makes nothing.
    pub fn find(data_root: &Path, exec_root: &Path, driver: Option<&str>) -> Result<Place, CheckError> {
        let layout = match driver {
            Some(name) => layout(name, data_root)?,
            None => layout(used(data_root)?, data_root)?,
        };
        let place = Place { data_root: data_root.to_owned(), exec_root: exec_root.to_owned(), layout };
        let is_there = place.image().is_dir() || place.home().is_dir();
        if is_there { Ok(place) } else { Err(CheckError::NoDataRoot(data_root.to_owned())) }
    }

    /// Docker's name of the driver.
    pub fn driver(&self) -> &'static str {
        match self.layout {
            Layout::Overlay2 => overlay2::NAME,
            Layout::Overlay => overlay::NAME,
            Layout::Vfs => vfs::NAME,
            Layout::Btrfs => btrfs::NAME,
            Layout::FuseOverlayfs => fuse_overlayfs::NAME,
        }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// `image/<driver>`.
    pub(super) fn image(&self) -> PathBuf {
        self.data_root.join("image").join(self.driver())
    }

    pub(super) fn repositories(&self) -> PathBuf {
        self.image().join("repositories.json")
    }

    pub(super) fn configurations(&self) -> PathBuf {
        self.image().join("imagedb/content/sha256")
    }

    pub(super) fn facts(&self) -> PathBuf {
        self.image().join("imagedb/metadata/sha256")
    }

    pub(super) fn chains(&self) -> PathBuf {
        self.image().join("layerdb/sha256")
    }

    pub(super) fn mounts(&self) -> PathBuf {
        self.image().join("layerdb/mounts")
    }

    pub(super) fn containers(&self) -> PathBuf {
        self.data_root.join("containers")
    }

    /// Where the driver has its layers.
    pub(super) fn home(&self) -> PathBuf {
        let place = self.data_root.join(self.driver());
        match self.layout {
            Layout::Vfs => place.join("dir"),
            Layout::Btrfs => place.join("subvolumes"),
            _ => place,
        }
    }

    /// The driver's directory of one layer.
    pub(super) fn directory(&self, cache_id: &str) -> PathBuf {
        self.home().join(cache_id)
    }

    /// Where the files of an image's layer lie.
    pub(super) fn files(&self, cache_id: &str) -> PathBuf {
        match self.layout {
            Layout::Overlay2 | Layout::FuseOverlayfs => self.directory(cache_id).join("diff"),
            Layout::Overlay => self.directory(cache_id).join("root"),
            Layout::Vfs | Layout::Btrfs => self.directory(cache_id),
        }
    }

    /// Where the files of a container's layer lie.
    pub(super) fn container_files(&self, cache_id: &str) -> PathBuf {
        match self.layout {
            Layout::Overlay => self.directory(cache_id).join("upper"),
            _ => self.files(cache_id),
        }
    }

    /// Whether each layer's directory also has the files of the layers below.
    pub(super) fn has_whole_trees(&self) -> bool {
        !self.has_short_names()
    }

    /// Whether layers have short names by which others say that they lie on them.
    pub(super) fn has_short_names(&self) -> bool {
        matches!(self.layout, Layout::Overlay2 | Layout::FuseOverlayfs)
    }
}

fn layout(name: &str, data_root: &Path) -> Result<Layout, CheckError> {
    match name {
        overlay2::NAME => Ok(Layout::Overlay2),
        overlay::NAME => Ok(Layout::Overlay),
        vfs::NAME => Ok(Layout::Vfs),
        btrfs::NAME => Ok(Layout::Btrfs),
        fuse_overlayfs::NAME => Ok(Layout::FuseOverlayfs),
        other => {
            let reason = driver::refusal(other, data_root).unwrap_or_else(|| "there is no such driver".to_owned());
            Err(CheckError::UnknownDriver { name: other.to_owned(), reason })
        }
    }
}

/// The driver whose layers lie below `data_root`. A root whose books are gone has the driver's directories still.
fn used(data_root: &Path) -> Result<&'static str, CheckError> {
    let has_some = |path: PathBuf| path.read_dir().is_ok_and(|mut entries| entries.next().is_some());
    let names = || KNOWN.iter().map(|known| known.name);
    let with_layers: Vec<_> =
        names().filter(|name| has_some(data_root.join("image").join(name).join("layerdb/sha256"))).collect();
    let with_books: Vec<_> = names().filter(|name| has_some(data_root.join("image").join(name))).collect();
    let with_directories: Vec<_> = names().filter(|name| has_some(data_root.join(name))).collect();
    for found in [with_layers, with_books, with_directories] {
        match found[..] {
            [] => {}
            [only] => return Ok(only),
            _ => {
                let drivers = found.join(", ");
                return Err(CheckError::SeveralDrivers { data_root: data_root.to_owned(), drivers });
            }
        }
    }
    Err(CheckError::NoDataRoot(data_root.to_owned()))
}

/// The names in a directory, in order; none when it is not there.
pub(super) fn names_in(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match directory.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}
