//! Kernel overlay mounts, by the classic call and by the mount API of Linux 5.2.

use std::ffi::CString;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};

use super::mount::{self, Detached};
use super::namespace;

/// The longest option string that `mount(2)` takes: one page, with its final NUL.
pub const OPTIONS_MAX_BYTES: usize = 4095;

/// `OVERLAYFS_SUPER_MAGIC` of `linux/magic.h`.
const OVERLAYFS_MAGIC: rustix::fs::FsWord = 0x794c_7630;

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
        let options = self.options(Path::new("")).join(&b',');
        let is_plain = self.directories().all(|path| mount::fits_option(path));
        match String::from_utf8(options) {
            Ok(options) if is_plain && options.len() <= OPTIONS_MAX_BYTES => {
                mount::mount("overlay", target, "overlay", MountFlags::empty(), &options)
            }
            _ => self.detached()?.attach(target),
        }
    }

    /// Mounts without a place in the tree. Before Linux 6.7 all of it has to fit a page: about 120 layers of `overlay2`.
    pub fn detached(&self) -> io::Result<Detached> {
        if !takes_layers_one_by_one() {
            return self.detached_by_string();
        }
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

    /// The same as kernels before 6.7 take it.
    pub fn detached_by_string(&self) -> io::Result<Detached> {
        let base = common_ancestor(self.directories());
        by_string(&base, &self.options(&base))
    }

    /// The options of `mount(2)`, in which layers are named from `base`; an empty one names them whole.
    fn options(&self, base: &Path) -> Vec<Vec<u8>> {
        let mut options: Vec<Vec<u8>> = pinned().map(|(name, value)| format!("{name}={value}").into_bytes()).collect();
        if namespace::is_user_namespace() {
            options.push(b"userxattr".to_vec());
        }
        options.push(layers_option("lowerdir", &self.lower, base));
        if let Some((upper, work)) = &self.upper {
            options.push(layer_option("upperdir", upper, base));
            options.push(layer_option("workdir", work, base));
        }
        options
    }

    fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.lower.iter().chain(self.upper.iter().flat_map(|(upper, work)| [upper, work]))
    }
}

/// Whether the kernel knows `lowerdir+` (Linux 6.7). Before 6.5 it took every word, and refused the whole.
pub fn takes_layers_one_by_one() -> bool {
    static TAKES: OnceLock<bool> = OnceLock::new();
    let takes = |name| {
        fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)
            .map(|context| fsconfig_set_string(context.as_fd(), name, "/").is_ok())
    };
    *TAKES.get_or_init(|| match (takes("lowerdir+"), takes("layerlab-has-no-such-option")) {
        (Ok(known), Ok(anything)) => known && !anything,
        // Who cannot ask cannot mount, and is told why.
        _ => true,
    })
}

/// Mounts by `mount(2)` without a place in the tree: by a thread that sees it in mounts of its own, and has the working directory `base`, from where the options name layers.
pub fn by_string(base: &Path, options: &[Vec<u8>]) -> io::Result<Detached> {
    let options = options.join(&b',');
    if options.len() > OPTIONS_MAX_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::ArgumentListTooLong,
            format!(
                "its layers take {} bytes, of {OPTIONS_MAX_BYTES} that this kernel takes (Linux 6.7 takes any number)",
                options.len()
            ),
        ));
    }
    let options = CString::new(options).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // What is mounted on the root does not show at its path.
    let place = if base.parent().is_none() { Path::new("/proc") } else { base };
    let mount = || -> io::Result<Detached> {
        namespace::mount_unseen()?;
        rustix::process::chdir(base)?;
        // The working directory stays the one below.
        rustix::mount::mount("overlay", place, "overlay", MountFlags::empty(), options.as_c_str())?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let tree = open_tree(CWD, place, flags)?;
        match rustix::fs::fstatfs(&tree)?.f_type == OVERLAYFS_MAGIC {
            true => Ok(tree.into()),
            false => Err(io::Error::other(format!("what is mounted on {} does not show there", place.display()))),
        }
    };
    thread::scope(|scope| scope.spawn(mount).join()).unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
}

/// The option `name` with all of `layers`, as [`by_string`] takes it.
pub fn layers_option(name: &str, layers: &[PathBuf], base: &Path) -> Vec<u8> {
    let layers: Vec<Vec<u8>> = layers.iter().map(|layer| escaped(layer, base, b"\\:,")).collect();
    [name.as_bytes(), b"=", &layers.join(&b':')].concat()
}

/// The option `name` with one directory, as [`by_string`] takes it.
pub fn layer_option(name: &str, layer: &Path, base: &Path) -> Vec<u8> {
    [name.as_bytes(), b"=", &escaped(layer, base, b"\\,")].concat()
}

/// How a path is written among options: from `base` where it is below, with a backslash before each of `special`.
fn escaped(path: &Path, base: &Path, special: &[u8]) -> Vec<u8> {
    let below = path.strip_prefix(base).ok().filter(|below| !below.as_os_str().is_empty());
    let mut written = Vec::new();
    for byte in below.unwrap_or(path).as_os_str().as_bytes() {
        if special.contains(byte) {
            written.push(b'\\');
        }
        written.push(*byte);
    }
    written
}

/// The deepest directory that all `paths` lie in.
fn common_ancestor<'a>(mut paths: impl Iterator<Item = &'a PathBuf>) -> PathBuf {
    let first = paths.next().and_then(|path| path.parent()).unwrap_or(Path::new("/"));
    let shorter = |base: &'a Path, path: &PathBuf| base.ancestors().find(|base| path.starts_with(base));
    paths.try_fold(first, shorter).unwrap_or(Path::new("/")).to_owned()
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
