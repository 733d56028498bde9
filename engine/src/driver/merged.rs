//! The kernel overlay of one layer at its directory `merged`: what the drivers `overlay` and `overlay2` share.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::files::{exists_is_fine, failed, gone_is_fine, make_directory};
use super::{DriverError, View};
use crate::layer::{OverlayXattr, PackOptions};
use crate::sys::overlay::Overlay;
use crate::sys::owners::{group_name, user_name};
use crate::sys::removal::remove_tree;
use crate::sys::{mount, namespace};

/// The directory of a layer that its overlay is mounted on.
pub(super) const MERGED: &str = "merged";

/// Where overlayfs keeps its marks: an ordinary user's kernel takes them from `user.` xattrs only.
pub(super) fn marks() -> OverlayXattr {
    if namespace::is_user_namespace() { OverlayXattr::User } else { OverlayXattr::Trusted }
}

/// Mounts `overlay` on the directory `merged` of the layer at `layer`, and says where.
pub(super) fn attach(overlay: &Overlay, layer: &Path) -> Result<PathBuf, DriverError> {
    let merged = layer.join(MERGED);
    make_directory(&merged, 0o755).or_else(exists_is_fine).map_err(failed("create", &merged))?;
    tracing::debug!(merged = %merged.display(), layers = overlay.lower.len(), "mount overlay");
    overlay.attach(&merged).map_err(|error| {
        let _ = fs::remove_dir(&merged);
        failed("mount overlay on", &merged)(error)
    })?;
    Ok(merged)
}

/// Undoes [`attach`]; what is not attached stays so.
pub(super) fn detach(layer: &Path) -> Result<(), DriverError> {
    let merged = layer.join(MERGED);
    tracing::debug!(merged = %merged.display(), "unmount");
    mount::unmount(&merged).map_err(failed("unmount", &merged))?;
    fs::remove_dir(&merged).or_else(gone_is_fine).map_err(failed("remove", &merged))
}

/// The tree at `merged` when something is mounted there.
pub(super) fn attached(layer: &Path) -> Result<Option<View>, DriverError> {
    let merged = layer.join(MERGED);
    let mounted = mount::is_mount_point(&merged).map_err(failed("look up", &merged))?;
    Ok(mounted.then(|| View::of(merged)))
}

/// The tree of `overlay`, mounted nowhere; `layer` names it in errors.
pub(super) fn detached(overlay: &Overlay, layer: &Path) -> Result<View, DriverError> {
    let mount = overlay.detached().map_err(failed("mount overlay of", layer))?;
    Ok(View::detached(mount))
}

/// Removes the directory of a layer; what is gone already is no error.
pub(super) fn remove(layer: &Path) -> Result<(), DriverError> {
    // The kernel leaves work/work without permissions; an ordinary user needs them back to delete it.
    let scratch = layer.join("work/work");
    if scratch.is_dir() {
        fs::set_permissions(&scratch, fs::Permissions::from_mode(0o700)).map_err(failed("chmod", &scratch))?;
    }
    remove_tree(layer).or_else(gone_is_fine).map_err(failed("remove", layer))
}

/// Hands `pack` the options for packing a layer of an overlay: dockerd fills names in from the host's own users, and so
/// do we.
pub(super) fn with_pack_options<T>(pack: impl FnOnce(&PackOptions<'_>) -> T) -> T {
    pack(&PackOptions { overlay: marks(), user_name: &user_name, group_name: &group_name })
}
