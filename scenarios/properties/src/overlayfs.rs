//! Mounts the kernel's overlayfs with exactly the options that are asked for, at no place: whoever holds the root may use it.
//!
//! Layers are named one by one (`lowerdir+`) where the kernel can, which is tried; else in the one string of mount(2), by short names.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use layerlab_engine::sys::namespace;
use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, open_tree, unmount,
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

/// Whether the kernel knows `lowerdir+` (Linux 6.7). Before 6.5 it took every word, and refused the whole.
fn takes_layers_one_by_one() -> bool {
    static TAKES: OnceLock<bool> = OnceLock::new();
    let takes = |name, value| {
        fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .map(|context| fsconfig_set_string(context.as_fd(), name, value).is_ok())
    };
    *TAKES.get_or_init(|| match (takes("lowerdir+", "/"), takes("layerlab-has-no-such-option", "/")) {
        (Ok(known), Ok(anything)) => known && !anything,
        // Who cannot ask cannot mount, and is told why.
        _ => true,
    })
}

/// The same by mount(2), which takes one page of options: layers are named from where the lowest one lies.
fn mount_by_string(options: &[(&str, &str)], layers: &Layers) -> Result<OwnedFd, Errno> {
    if !layers.data.is_empty() {
        return Err(Errno::INVAL);
    }
    let base = layers.lowers.first().and_then(|lowest| lowest.parent()).unwrap_or(Path::new("/"));
    let mut words: Vec<Vec<u8>> = Vec::new();
    for (name, value) in options {
        words.push(if value.is_empty() { name.to_string() } else { format!("{name}={value}") }.into_bytes());
    }
    let names: Vec<Vec<u8>> = layers.lowers.iter().rev().map(|lower| escaped(base, lower, b"\\:,")).collect();
    words.push([b"lowerdir=".to_vec(), names.join(&b':')].concat());
    if let Some((upper, work)) = &layers.upper {
        for (name, path) in [("upperdir", upper), ("workdir", work)] {
            words.push([name.as_bytes(), b"=", &escaped(base, path, b"\\,")].concat());
        }
    }
    let page = CString::new(words.join(&b',')).map_err(|_| Errno::INVAL)?;
    // A working directory is a thread's, if it asks for one.
    let mount = || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)
            .map_err(|errno| Errno::from_raw_os_error(errno as i32))?;
        rustix::process::chdir(base)?;
        let place = tempfile::tempdir().map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        rustix::mount::mount("overlay", place.path(), "overlay", MountFlags::empty(), &*page)?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let mounted = open_tree(CWD, place.path(), flags);
        unmount(place.path(), UnmountFlags::DETACH)?;
        mounted
    };
    std::thread::scope(|scope| scope.spawn(mount).join()).unwrap_or(Err(Errno::IO))
}

/// How a path is written among options: from `base` where it is below, with a backslash before each of `special`.
fn escaped(base: &Path, path: &Path, special: &[u8]) -> Vec<u8> {
    let below = path.strip_prefix(base).ok().filter(|below| !below.as_os_str().is_empty());
    let name = below.unwrap_or(path);
    let mut written = Vec::new();
    for byte in name.as_os_str().as_bytes() {
        if special.contains(byte) {
            written.push(b'\\');
        }
        written.push(*byte);
    }
    written
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
