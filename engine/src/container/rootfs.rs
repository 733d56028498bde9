//! The file system a container starts in: Docker's `-init` layer, the mounts around the image's tree, and the step into
//! it.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::libc::dev_t;
use nix::sys::stat::{Mode as NodeMode, SFlag, makedev, mknod};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::mount::MountFlags;

use super::error::failed;
use super::{Container, EngineError};
use crate::sys::mount;
use crate::sys::namespace;
use crate::sys::reason::reason;
use crate::sys::root::Root;

/// What went wrong, at which mount.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// One of those that every container has.
    #[error("{what}: {}", reason(.source))]
    Own { what: String, source: io::Error },
    /// One that somebody asked for.
    #[error(
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error \
         during container init: error mounting \"{}\" to rootfs at \"{target}\": mount {}:{target} (via /proc/self/fd/6), flags: \
         {flags}: {}: unknown{}",
        .from.display(), .from.display(), reason(.error), hint(.error)
    )]
    Bind { from: PathBuf, target: String, flags: &'static str, error: io::Error },
}

impl RootfsError {
    /// Whether the place would have to be made, where nothing may be written.
    pub fn is_read_only(&self) -> bool {
        matches!(self, RootfsError::Bind { error, .. } if error.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }
}

fn at(what: impl Into<String>) -> impl FnOnce(io::Error) -> RootfsError {
    let what = what.into();
    move |source| RootfsError::Own { what, source }
}

fn hint(error: &io::Error) -> &'static str {
    if error.raw_os_error() == Some(libc::ENOTDIR) {
        ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the \
         expected type"
    } else {
        ""
    }
}

/// A file or directory of the host that a container sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Where it is on the host.
    pub source: PathBuf,
    /// Its place in the container.
    pub target: String,
    /// Whether the container may only read it.
    pub read_only: bool,
    /// Whether what is mounted below it is seen too.
    pub recursive: bool,
}

impl Bind {
    /// Binds it to its place inside `root`, making that place when it is missing.
    pub fn mount(&self, root: &Root) -> Result<(), RootfsError> {
        let mounted = || -> io::Result<()> {
            let kind = if self.source.is_dir() { FileType::Directory } else { FileType::RegularFile };
            let place = place_in(root, &self.target, kind)?;
            if self.recursive {
                mount::bind(&self.source, &place.path)?;
            } else {
                mount::bind_alone(&self.source, &place.path)?;
            }
            // Opened again: the place is below what has just been mounted on it.
            if self.read_only { mount::make_read_only(&place_in(root, &self.target, kind)?.path) } else { Ok(()) }
        };
        let flags = if self.recursive { "0x5000" } else { "0x1000" };
        let (from, target) = (self.source.clone(), self.target.clone());
        mounted().map_err(|error| RootfsError::Bind { from, target, flags, error })
    }
}

/// Mount points that Docker makes in a layer of its own below the container's, unless the image has them.
pub fn fill_init_layer(tree: &Path) -> io::Result<()> {
    let root = Root::open(tree)?;
    for directory in ["/dev/pts", "/dev/shm", "/proc", "/sys"] {
        root.create_dir_all(Path::new(directory))?;
    }
    for file in ["/.dockerenv", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/dev/console"] {
        root.create_file(Path::new(file), 0o755)?;
    }
    root.create_link(Path::new("/etc/mtab"), "/proc/mounts")
}

/// Makes the directory in which the container's program starts, inside its mounted `tree`.
pub fn make_working_directory(tree: &Path, container: &Container) -> Result<(), EngineError> {
    let directory = &container.config.config.working_dir;
    if directory.is_empty() {
        return Ok(());
    }
    let made = Root::open(tree).and_then(|root| root.create_dir_all(Path::new(directory)));
    match made {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(EngineError::NotADirectory(directory.clone()))
        }
        other => other.map(drop).map_err(failed("make the working directory in", tree)),
    }
}

/// Device nodes of `/dev`: name, major, minor.
const DEVICES: [(&str, u64, u64); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// Paths that a container's programs do not get as the kernel has them.
#[derive(Debug, Clone, Default)]
pub struct Restrictions {
    /// Hidden behind an empty directory or `/dev/null`.
    pub masked: Vec<String>,
    /// Not to be written.
    pub read_only: Vec<String>,
}

/// Mounts everything below `rootfs` and makes it `/` of this mount namespace, which must be the container's own.
/// `binds` are what it sees of the host.
pub fn enter(rootfs: &Path, binds: &[Bind], restrictions: &Restrictions) -> Result<(), RootfsError> {
    mount::make_private(Path::new("/")).map_err(at("make mounts private"))?;
    // The new root has to be a mount, which not every driver makes.
    let is_mounted = mount::is_mount_point(rootfs).map_err(at("list the mounts"))?;
    if !is_mounted {
        mount::bind(rootfs, rootfs).map_err(at(format!("bind {}", rootfs.display())))?;
    }
    let root = Root::open(rootfs).map_err(at(format!("open {}", rootfs.display())))?;
    mount_system(&root, binds)?;
    binds.iter().try_for_each(|bind| bind.mount(&root))?;
    pivot(rootfs).map_err(at(format!("pivot_root to {}", rootfs.display())))?;
    fill_dev().map_err(at("fill /dev"))?;
    restrict(restrictions)
}

/// Mounts what every container has, except where one of `binds` takes its place.
fn mount_system(root: &Root, binds: &[Bind]) -> Result<(), RootfsError> {
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let devpts = |gid: &str| format!("newinstance,ptmxmode=0666,mode=0620{gid}");
    // Group 5 is `tty` in every distribution; a namespace with a single ID has no such group.
    let devpts = devpts(if namespace::is_mapped(5) { ",gid=5" } else { "" });
    let table: [(&str, &str, MountFlags, &str); 6] = [
        ("/proc", "proc", safe, ""),
        ("/dev", "tmpfs", MountFlags::NOSUID | MountFlags::STRICTATIME, "mode=755,size=65536k"),
        ("/dev/pts", "devpts", MountFlags::NOSUID | MountFlags::NOEXEC, &devpts),
        ("/sys", "sysfs", safe | MountFlags::RDONLY, ""),
        ("/dev/mqueue", "mqueue", safe, ""),
        ("/dev/shm", "tmpfs", safe, "mode=1777,size=67108864"),
    ];
    let own = table.into_iter().filter(|(target, ..)| binds.iter().all(|bind| bind.target != *target));
    for (target, kind, flags, data) in own {
        let place = target_in(root, target, FileType::Directory)?;
        let source = if target == "/dev/shm" { "shm" } else { kind };
        let mounted = mount::mount(source, &place.path, kind, flags, data);
        // The host's network shares its /sys only with root of the first user namespace: then it is shown as it is.
        let mounted = match mounted {
            Err(error) if kind == "sysfs" && error.raw_os_error() == Some(libc::EPERM) => {
                bind_read_only(Path::new("/sys"), &place.path)
            }
            other => other,
        };
        mounted.map_err(at(format!("mount {kind} on {target}")))?;
    }
    let directory = target_in(root, "/dev", FileType::Directory)?;
    for (name, major, minor) in DEVICES {
        add_device(&directory, name, makedev(major, minor)).map_err(at(format!("make /dev/{name}")))?;
    }
    Ok(())
}

fn bind_read_only(source: &Path, target: &Path) -> io::Result<()> {
    mount::bind(source, target)?;
    mount::make_read_only(target)
}

/// A mount target, resolved inside the root so that no link of the image leads outside.
struct Place {
    path: PathBuf,
    _file: std::os::fd::OwnedFd,
}

fn target_in(root: &Root, target: &str, kind: FileType) -> Result<Place, RootfsError> {
    place_in(root, target, kind).map_err(at(format!("make {target}")))
}

fn place_in(root: &Root, target: &str, kind: FileType) -> io::Result<Place> {
    let path = Path::new(target);
    let file = if kind == FileType::Directory {
        root.create_dir_all(path)?
    } else {
        root.create_file(path, 0o755)?;
        root.open_at(path, OFlags::PATH, Mode::empty())?
    };
    Ok(Place { path: PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())), _file: file })
}

/// A device node, or the host's own bound to its place where the kernel allows no new ones.
fn add_device(directory: &Place, name: &str, number: dev_t) -> io::Result<()> {
    let path = directory.path.join(name);
    match mknod(&path, SFlag::S_IFCHR, NodeMode::from_bits_truncate(0o666), number) {
        Ok(()) => Ok(std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666))?),
        Err(nix::errno::Errno::EPERM) => {
            std::fs::write(&path, "")?;
            mount::bind(&Path::new("/dev").join(name), &path)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn pivot(rootfs: &Path) -> io::Result<()> {
    std::env::set_current_dir(rootfs)?;
    rustix::process::pivot_root(".", ".")?;
    // The old root lies on top of the new one now, and the working directory is the old one.
    rustix::mount::unmount(".", rustix::mount::UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

fn fill_dev() -> io::Result<()> {
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ] {
        std::os::unix::fs::symlink(target, link)?;
    }
    Ok(())
}

fn restrict(restrictions: &Restrictions) -> Result<(), RootfsError> {
    for path in restrictions.masked.iter().map(Path::new).filter(|path| path.exists()) {
        let masked = if path.is_dir() {
            mount::mount("tmpfs", path, "tmpfs", MountFlags::RDONLY, "")
        } else {
            mount::bind(Path::new("/dev/null"), path)
        };
        masked.map_err(at(format!("mask {}", path.display())))?;
    }
    for path in restrictions.read_only.iter().map(Path::new).filter(|path| path.exists()) {
        bind_read_only(path, path).map_err(at(format!("protect {}", path.display())))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checklist: DL-20
    #[test]
    fn an_init_layer_has_dockers_mount_points_and_keeps_what_the_image_has() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir(tree.path().join("etc")).unwrap();
        std::fs::write(tree.path().join("etc/hosts"), "the image's").unwrap();
        fill_init_layer(tree.path()).unwrap();
        assert_eq!(std::fs::read_to_string(tree.path().join("etc/hosts")).unwrap(), "the image's");
        assert_eq!(std::fs::read_link(tree.path().join("etc/mtab")).unwrap(), Path::new("/proc/mounts"));
        for name in [".dockerenv", "dev/console", "dev/shm", "dev/pts", "etc/hostname", "etc/resolv.conf"] {
            assert!(tree.path().join(name).exists(), "{name}");
        }
    }
}
