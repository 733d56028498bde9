//! Files into and out of a container, running or not, as a tar: what `docker cp` carries.
//!
//! Every path is resolved inside the container's root directory, so no link of its files leads to the host's. Volumes and
//! what else is bound into the container are there too, in a mount namespace that only the caller sees.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags};

use super::error::failed;
use super::rootfs::Bind;
use super::{Container, Engine, EngineError};
use crate::driver::View;
use crate::layer::{Bundle, BundleError, BundleOptions, Contents, OverlayXattr, Owners, UnpackOptions, unpack};
use crate::sys::namespace;
use crate::sys::root::Root;

/// The files of a container.
pub struct ContainerFiles {
    root: Root,
    view: View,
    owners: Owners,
}

impl Engine {
    /// Opens the files of a container, to read; or, if `to_write`, to change them.
    pub fn files(&self, name: &str, to_write: bool) -> Result<ContainerFiles, EngineError> {
        let container = self.container(name)?;
        let mount = self.store.layers.mount(&container.id)?;
        let binds = self.binds(&container)?;
        // A running container's are where it sees them; a second writable mount of the same layer would be undefined.
        let view = if (to_write || !binds.is_empty()) && !container.config.state.running {
            self.driver.edit(&mount.mount_id)?
        } else {
            self.driver.view(&mount.mount_id)?
        };
        let root = if binds.is_empty() {
            Root::open(view.path()).map_err(failed("open", view.path()))?
        } else {
            self.bound(&container, &view, &binds)?
        };
        let owners = if self.settings.squash_owners { Owners::SquashUnmapped } else { Owners::AsRecorded };
        Ok(ContainerFiles { root, view, owners })
    }

    /// The files of a container with all that is bound into it, as it would see them.
    fn bound(&self, container: &Container, view: &View, binds: &[Bind]) -> Result<Root, EngineError> {
        // Empty in every container's records, by Docker's layout.
        let place = self.record_directory(&container.id).join("mounts");
        fs::create_dir_all(&place).map_err(failed("create", &place))?;
        namespace::mount_unseen().map_err(failed("leave the mounts around", &place))?;
        view.mount_on(&place)?;
        let root = Root::open(&place).map_err(failed("open", &place))?;
        binds.iter().try_for_each(|bind| bind.mount(&root)).map_err(|error| EngineError::Mount(error.to_string()))?;
        Ok(root)
    }
}

impl ContainerFiles {
    /// What stands at `path`: itself, or what it leads to. Nothing when there is nothing.
    pub fn kind(&self, path: &Path, follow: bool) -> Option<FileType> {
        let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        let file = self.root.open_at(path, flags, Mode::empty()).ok()?;
        Some(FileType::from_raw_mode(rustix::fs::fstat(&file).ok()?.st_mode))
    }

    /// Writes what stands at `path` as a tar whose first entry is called `name`; an empty name means only what is inside.
    pub fn read(&self, path: &Path, name: &Path, follow: bool, out: impl Write) -> Result<(), BundleError> {
        let options = BundleOptions { owner: None, leaves_out: &|_| false };
        let mut bundle = Bundle::new(out, options);
        let path = path.strip_prefix("/").unwrap_or(path);
        match self.kind(path, true) {
            Some(FileType::RegularFile) if follow => bundle.add_file(&self.root, path, name)?,
            _ => bundle.add(&self.root, path, name)?,
        }
        bundle.finish().map(drop)
    }

    /// Takes a tar out again in the directory `path`.
    pub fn write(&self, path: &Path, tar: impl Read) -> Result<(), EngineError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = self.root.open_at(path, flags, Mode::empty()).map_err(failed("open", self.view.path()))?;
        let is_read_only = rustix::fs::fstatvfs(&directory)
            .is_ok_and(|file_system| file_system.f_flag.contains(StatVfsMountFlags::RDONLY));
        if is_read_only {
            return Err(EngineError::ReadOnlyVolume);
        }
        let place = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let options = UnpackOptions { contents: Contents::Copies, overlay: OverlayXattr::User, owners: self.owners };
        let shown: PathBuf = Path::new("/").join(path).components().collect();
        unpack(tar, &place, &options).map(drop).map_err(|error| EngineError::CopyIn(error.below(&shown)))
    }
}
