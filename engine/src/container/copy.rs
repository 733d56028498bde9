//! Files into and out of a container, running or not, as a tar: what `docker cp` carries.
//!
//! Every path is resolved inside the container's root directory, so no link of its files leads to the host's. Volumes and
//! what else is bound into the container, `/etc/hosts` and its like once it has been started, are there too, in a mount namespace
//! that only the caller sees. Whoever reads shares the container's layer, and whoever writes has it alone (`layer_lock.rs`).

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags};

use super::error::failed;
use super::layer_lock::HeldLayer;
use super::rootfs::Bind;
use super::{Container, Engine, EngineError};
use crate::driver::View;
use crate::layer::{Bundle, BundleError, BundleOptions, Contents, OverlayXattr, Owners, UnpackOptions, unpack};
use crate::sys::namespace;
use crate::sys::owners::user_called;
use crate::sys::root::Root;

/// The files of a container, as long as the value lives.
pub struct ContainerFiles {
    root: Root,
    view: View,
    /// What people know the root as.
    shown: PathBuf,
    squashes: bool,
    held: HeldLayer,
}

impl Engine {
    /// Opens the files of a container, to read; or, if `to_write`, to change them.
    pub fn files(&self, name: &str, to_write: bool) -> Result<ContainerFiles, EngineError> {
        let id = self.container(name)?.id;
        match self.open_files(&id, to_write) {
            // The place of a volume is missing in a container that was never started: it has to be made.
            Err(EngineError::Bind(error)) if !to_write && error.is_read_only() => self.open_files(&id, true),
            opened => opened,
        }
    }

    fn open_files(&self, id: &str, to_write: bool) -> Result<ContainerFiles, EngineError> {
        let held = if to_write { self.own_layer(id)? } else { self.share_layer(id)? };
        let container = &held.container;
        let mount = self.store.layers.mount(id)?;
        let binds = self.binds_and(container, self.written_files(container))?;
        let view = if to_write { self.driver.edit(&mount.mount_id)? } else { self.driver.view(&mount.mount_id)? };
        let root = if binds.is_empty() {
            Root::open(view.path()).map_err(failed("open", view.path()))?
        } else {
            self.bound(container, &view, &binds)?
        };
        let (shown, squashes) = (self.driver.attached_at(&mount.mount_id), self.settings.squash_owners);
        Ok(ContainerFiles { root, view, shown, squashes, held })
    }

    /// The files of a container with all that is bound into it, as it would see them.
    fn bound(&self, container: &Container, view: &View, binds: &[Bind]) -> Result<Root, EngineError> {
        // Empty in every container's records, by Docker's layout.
        let place = self.record_directory(&container.id).join("mounts");
        fs::create_dir_all(&place).map_err(failed("create", &place))?;
        namespace::mount_unseen().map_err(failed("leave the mounts around", &place))?;
        view.mount_on(&place)?;
        let root = Root::open(&place).map_err(failed("open", &place))?;
        binds.iter().try_for_each(|bind| bind.mount(&root))?;
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

    /// What `text` names, as dockerd understands it: a link at its end is a link, what is before a slash has to be a directory.
    /// Nothing when there is nothing.
    pub fn named(&self, text: &str) -> Result<Option<FileType>, EngineError> {
        let (directory, last) = text.rsplit_once('/').unwrap_or(("", text));
        let directory = self.root.resolve(Path::new(directory)).map_err(failed("follow", Path::new(text)))?;
        match self.kind(&directory, false) {
            Some(FileType::Directory) if last.is_empty() || last == "." => Ok(Some(FileType::Directory)),
            Some(FileType::Directory) => Ok(self.kind(&directory.join(last), false)),
            Some(_) => Err(EngineError::BelowFile(format!("{}/{last}", self.shown.join(directory).display()))),
            None => Ok(None),
        }
    }

    /// Where the link at `path` leads to, as far as it says so itself.
    pub fn link_target(&self, path: &Path) -> Option<PathBuf> {
        let link = self.root.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).ok()?;
        let target = rustix::fs::readlinkat(&link, "", Vec::new()).ok()?;
        let target: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(target.as_bytes());
        Some(path.parent().unwrap_or(Path::new("/")).join(target))
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

    /// Who owns what is written: with `archive` the container's user, if it has one, whom Docker looks for among those of the
    /// host. `is_from_host`: what is written are files of this host, of whose owners an ordinary user may not know all.
    pub fn owners(&self, archive: bool, is_from_host: bool) -> Result<Owners, EngineError> {
        let user = self.held.container.config.config.user.as_str();
        if archive && !user.is_empty() {
            let found = user_called(user).ok_or_else(|| EngineError::NoSuchUser(user.to_owned()));
            return found.map(|(uid, gid)| Owners::Given { uid, gid });
        }
        let may_be_unknown = is_from_host && namespace::is_user_namespace();
        Ok(if may_be_unknown || self.squashes { Owners::SquashUnmapped } else { Owners::AsRecorded })
    }

    /// Takes a tar out again in the directory `path`.
    pub fn write(&self, path: &Path, tar: impl Read, owners: Owners) -> Result<(), EngineError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let directory = self.root.open_at(path, flags, Mode::empty()).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotADirectory => EngineError::NotAnExtractionPoint,
            _ => failed("open", self.view.path())(error),
        })?;
        let is_read_only = rustix::fs::fstatvfs(&directory)
            .is_ok_and(|file_system| file_system.f_flag.contains(StatVfsMountFlags::RDONLY));
        if is_read_only {
            return Err(EngineError::ReadOnlyVolume);
        }
        let place = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let options = UnpackOptions { contents: Contents::Copies, overlay: OverlayXattr::None, owners };
        let shown: PathBuf = Path::new("/").join(path).components().collect();
        unpack(tar, &place, &options).map(drop).map_err(|error| EngineError::CopyIn(error.below(&shown)))
    }
}
