//! Mounts the kernel's overlayfs with exactly the options that are asked for, at no place: whoever holds the root may use it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use layerlab_engine::sys::namespace;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

/// What is stacked.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The lower directories, the lowest first.
    pub lowers: Vec<PathBuf>,
    /// Lower directories of which only the content of files is used, the lowest first.
    pub data: Vec<PathBuf>,
    /// The upper directory and the work directory; without them the mount is one to be read.
    pub upper: Option<(PathBuf, PathBuf)>,
}

/// What `userxattr` decides: with it the kernel takes a word about these for a contradiction, and the others are off.
pub const FIXED_FOR_USERS: [&str; 3] = ["metacopy", "redirect_dir", "userxattr"];

/// Mounts `layers`; an option without a value is a flag.
///
/// # Errors
/// What the kernel says.
pub fn mount<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>, layers: &Layers) -> Result<OwnedFd, Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    fsconfig_set_string(context, "source", "overlay")?;
    let is_user_namespace = namespace::is_user_namespace();
    if is_user_namespace {
        fsconfig_set_flag(context, "userxattr")?;
    }
    for (name, value) in
        options.into_iter().filter(|option| !(is_user_namespace && FIXED_FOR_USERS.contains(&option.0)))
    {
        match value {
            "" => fsconfig_set_flag(context, name)?,
            value => fsconfig_set_string(context, name, value)?,
        }
    }
    for lower in layers.lowers.iter().rev() {
        fsconfig_set_string(context, "lowerdir+", lower)?;
    }
    for data in layers.data.iter().rev() {
        fsconfig_set_string(context, "datadir+", data)?;
    }
    if let Some((upper, work)) = &layers.upper {
        fsconfig_set_string(context, "upperdir", upper)?;
        fsconfig_set_string(context, "workdir", work)?;
    }
    fsconfig_create(context)?;
    fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
}

/// An empty directory `name` in `place`, there already or not.
pub(crate) fn empty(place: &Path, name: &str) -> Result<PathBuf, Errno> {
    let empty = place.join(name);
    match rustix::fs::mkdir(&empty, Mode::from_raw_mode(0o755)) {
        Err(Errno::EXIST) => {}
        made => made?,
    }
    Ok(empty)
}
