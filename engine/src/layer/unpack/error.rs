//! Why a tar cannot be unpacked, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::layer::archive::ArchiveError;
use crate::sys::reason::reason;

/// A layer, or another archive, that cannot be unpacked here. Paths are relative to the root.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("cannot {operation} {} of the layer: {}", path.display(), reason(.source))]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("the layer names {name:?}, which lies outside of it: do not use this image")]
    Escapes { name: String },
    #[error("the layer holds {name:?} twice: rebuild the image")]
    Duplicate { name: String },
    #[error("the layer's root entry {name:?} is not a directory: do not use this image")]
    RootNotADirectory { name: String },
    #[error("the layer holds {name:?}, a whiteout that names nothing: rebuild the image")]
    EmptyWhiteout { name: String },
    #[error("the layer links {} to {target:?}, which is not in the layer: rebuild the image", path.display())]
    MissingLinkTarget { path: PathBuf, target: String },
    #[error("the layer makes {} a directory and later hides it behind a link: rebuild the image", path.display())]
    DirectoryMoved { path: PathBuf },
    #[error(
        "layer needs {}, which is not mapped here: install uidmap (newuidmap) and give the user a range in /etc/subuid \
         and /etc/subgid, or pass --squash-owners ({} belongs to {uid}:{gid})", unmapped_ids(*.uid, *.gid, *.uid_mapped), path.display()
    )]
    UnmappedOwner { path: PathBuf, uid: u32, gid: u32, uid_mapped: bool },
    #[error(
        "{} may not be given to {uid}:{gid} by this user: run as root or in a user namespace, or pass --squash-owners",
        path.display()
    )]
    OwnerRefused { path: PathBuf, uid: u32, gid: u32 },
    #[error(
        "the layer holds the device node {}, which only root outside a user namespace may make: run as root, or use an \
         image without device nodes", path.display()
    )]
    DeviceRefused { path: PathBuf },
    #[error("unlinkat {}: device or resource busy", destination.join(path).display())]
    MountPoint { path: PathBuf, destination: PathBuf },
    #[error("cannot overwrite directory \"{}\" with non-directory \"{}\"", destination.join(path).display(), destination.display())]
    OverDirectory { path: PathBuf, destination: PathBuf },
    #[error("cannot overwrite non-directory \"{}\" with directory \"{}\"", destination.join(path).display(), destination.display())]
    OverNonDirectory { path: PathBuf, destination: PathBuf },
}

impl UnpackError {
    /// The same error, where it tells of a path, for a root directory that is known to people as `place`.
    pub fn below(mut self, place: &Path) -> UnpackError {
        if let UnpackError::OverDirectory { destination, .. }
        | UnpackError::OverNonDirectory { destination, .. }
        | UnpackError::MountPoint { destination, .. } = &mut self
        {
            place.clone_into(destination);
        }
        self
    }
}

fn unmapped_ids(uid: u32, gid: u32, uid_mapped: bool) -> String {
    if uid_mapped { format!("gid {gid}") } else { format!("uid {uid}") }
}

pub(super) fn io_error(operation: &'static str, path: &Path, errno: Errno) -> UnpackError {
    UnpackError::Io { operation, path: path.to_owned(), source: errno.into() }
}
