//! Mounts the kernel's overlayfs with exactly the options that are asked for, at no place: whoever holds the root may use it.
//!
//! Layers are named one by one (`lowerdir+`) where the kernel can, which is tried; else in the one string of mount(2), by short names.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use layerlab_engine::sys::namespace;
use layerlab_engine::sys::overlay::{by_string, layer_option, layers_option, takes_layers_one_by_one};
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
    let is_user_namespace = namespace::is_user_namespace();
    let fixed = is_user_namespace.then_some(("userxattr", ""));
    let free = |option: &(&str, &str)| !(is_user_namespace && FIXED_FOR_USERS.contains(&option.0));
    let options = fixed.into_iter().chain(options.into_iter().filter(free));
    if !takes_layers_one_by_one() {
        return mount_by_string(&options.collect::<Vec<_>>(), layers);
    }
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = context.as_fd();
    fsconfig_set_string(context, "source", "overlay")?;
    for (name, value) in options {
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

/// The same by mount(2), which takes one page of options: layers are named from where the lowest one lies.
fn mount_by_string(options: &[(&str, &str)], layers: &Layers) -> Result<OwnedFd, Errno> {
    if !layers.data.is_empty() {
        return Err(Errno::INVAL);
    }
    let base = layers.lowers.first().and_then(|lowest| lowest.parent()).unwrap_or(Path::new("/"));
    let word = |(name, value): &(&str, &str)| match *value {
        "" => name.as_bytes().to_vec(),
        value => format!("{name}={value}").into_bytes(),
    };
    let mut words: Vec<Vec<u8>> = options.iter().map(word).collect();
    let nearest_first: Vec<PathBuf> = layers.lowers.iter().rev().cloned().collect();
    words.push(layers_option("lowerdir", &nearest_first, base));
    if let Some((upper, work)) = &layers.upper {
        words.push(layer_option("upperdir", upper, base));
        words.push(layer_option("workdir", work, base));
    }
    let mounted = by_string(base, &words).map(OwnedFd::from);
    mounted.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::TOOBIG))
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
