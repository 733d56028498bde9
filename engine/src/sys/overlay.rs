//! Kernel overlay mounts, by the classic call and by the mount API of Linux 5.2.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::mount::{self, Detached};
use super::namespace;

/// The longest option string that `mount(2)` takes: one page, with its final NUL.
pub const OPTIONS_MAX_BYTES: usize = 4095;

/// How the directories are called in which it is tried whether layers can be stacked (`engine/src/driver/trial.rs`).
pub const TRIAL: &str = "layerlab-trial-";

/// One overlay: which directories it stacks.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Lower directories, the nearest first.
    pub lower: Vec<PathBuf>,
    /// Upper and work directory; without them the overlay is read-only.
    pub upper: Option<(PathBuf, PathBuf)>,
}

impl Overlay {
    /// Mounts on `target` so that `mount` shows `lowerdir=…:…,upperdir=…,workdir=…`, as long as that fits a page;
    /// beyond, by the new mount API (shown as `lowerdir+=…`).
    pub fn attach(&self, target: &Path) -> io::Result<()> {
        let options = self.options();
        match options {
            Some(options) if options.len() <= OPTIONS_MAX_BYTES => {
                mount::mount("overlay", target, "overlay", MountFlags::empty(), &options)
            }
            _ => self.detached()?.attach(target),
        }
    }

    /// Mounts without a place in the tree. Needs `lowerdir+`, Linux 6.7.
    pub fn detached(&self) -> io::Result<Detached> {
        let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        let context = context.as_fd();
        fsconfig_set_string(context, "source", "overlay")?;
        for (name, value) in pinned() {
            fsconfig_set_string(context, name, value)?;
        }
        if namespace::is_user_namespace() {
            fsconfig_set_flag(context, "userxattr")?;
        }
        for lower in &self.lower {
            fsconfig_set_string(context, "lowerdir+", lower)?;
        }
        if let Some((upper, work)) = &self.upper {
            fsconfig_set_string(context, "upperdir", upper)?;
            fsconfig_set_string(context, "workdir", work)?;
        }
        fsconfig_create(context)?;
        Ok(fsmount(context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?.into())
    }

    /// The option string of `mount(2)`; nothing when a path cannot stand in one.
    fn options(&self) -> Option<String> {
        let text = |path: &PathBuf| mount::fits_option(path).then(|| path.to_str().map(str::to_owned)).flatten();
        let lower = self.lower.iter().map(text).collect::<Option<Vec<_>>>()?.join(":");
        let mut options = pinned().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        if namespace::is_user_namespace() {
            options.push("userxattr".to_owned());
        }
        options.push(format!("lowerdir={lower}"));
        if let Some((upper, work)) = &self.upper {
            options.push(format!("upperdir={},workdir={}", text(upper)?, text(work)?));
        }
        Some(options.join(","))
    }
}

/// Features whose default is the kernel builder's choice, or whoever set the module's parameters, and which change what an upper directory
/// holds or what numbers files have: switched off, so that an upper means the same everywhere. Redirects are not made, but followed: a
/// dockerd on a kernel with another default leaves them. Only those this kernel knows, which its module's parameters tell once it is loaded. With `userxattr` the kernel itself rules out the
/// first two, and takes a word about redirects for a contradiction.
fn pinned() -> impl Iterator<Item = (&'static str, &'static str)> {
    const FEATURES: [(&str, &str, &str); 5] = [
        ("metacopy", "metacopy", "off"),
        ("redirect_dir", "redirect_dir", "follow"),
        ("index", "index", "off"),
        ("nfs_export", "nfs_export", "off"),
        ("xino_auto", "xino", "off"),
    ];
    let first = if namespace::is_user_namespace() { 2 } else { 0 };
    let parameters = Path::new("/sys/module/overlay/parameters");
    if !parameters.exists() {
        // Asking for the file system loads its module. Where nobody tells what it knows, it knows all of these: Linux 4.19 did.
        let _ = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC);
    }
    let is_told = parameters.exists();
    let known = move |(parameter, ..): &&(&str, _, _)| !is_told || parameters.join(parameter).exists();
    FEATURES[first..].iter().filter(known).map(|(_, option, value)| (*option, *value))
}
