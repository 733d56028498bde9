//! The root file system of a lab: a description of what it holds, raised on a fresh tmpfs that becomes `/`.
//!
//! *Why*: a page must see the same machine on every host. *Holds*: nothing of the host is visible but what a
//! [`Node::Graft`] names; every file is on the tmpfs, so all of it goes with the mount namespace. *Never*: writes to a
//! file system of the host. *Proved by* `scenarios/tests/lab.rs`.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use super::loop_device;

/// Where the new root is mounted until it becomes `/`. Any directory that every machine has will do.
const SCAFFOLD: &str = "/tmp";

/// A root that could not be raised.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    #[error("cannot reach {path} on the host to show it in the lab: {source}")]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot place {path} in the lab: {source}")]
    Place { path: PathBuf, source: io::Error },
    #[error("cannot mount {kind} on {path} in the lab: {source}")]
    Mount { kind: String, path: PathBuf, source: io::Error },
    #[error("cannot make the new root the lab's `/` ({step}): {source}")]
    Enter { step: &'static str, source: io::Error },
}

/// One thing in a root; paths are absolute as seen from inside.
#[derive(Debug, Clone)]
pub enum Node {
    Directory {
        path: PathBuf,
        mode: u32,
    },
    Symlink {
        path: PathBuf,
        target: PathBuf,
    },
    File {
        path: PathBuf,
        content: Vec<u8>,
        mode: u32,
    },
    /// A file or tree that exists already (`source`), shown at `path` with everything mounted below it.
    Graft {
        path: PathBuf,
        source: PathBuf,
        read_only: bool,
    },
    /// A fresh file system; where the kernel forbids it and `or_graft` is given, that tree is shown read-only instead.
    Mount {
        path: PathBuf,
        kind: String,
        flags: MsFlags,
        options: String,
        or_graft: Option<PathBuf>,
    },
    /// A fresh file system of a kind that lies on a block device.
    OnLoopDevice {
        path: PathBuf,
        kind: String,
        mode: u32,
    },
}

/// What a root holds, in the order in which it is made; missing parents become directories of mode 0755.
#[derive(Debug, Clone, Default)]
pub struct RootPlan {
    nodes: Vec<Node>,
}

impl RootPlan {
    pub fn directory(&mut self, path: impl Into<PathBuf>, mode: u32) -> &mut Self {
        self.push(Node::Directory { path: path.into(), mode })
    }

    pub fn symlink(&mut self, path: impl Into<PathBuf>, target: impl Into<PathBuf>) -> &mut Self {
        self.push(Node::Symlink { path: path.into(), target: target.into() })
    }

    pub fn file(&mut self, path: impl Into<PathBuf>, content: impl Into<Vec<u8>>, mode: u32) -> &mut Self {
        self.push(Node::File { path: path.into(), content: content.into(), mode })
    }

    /// Shows `source` at `path`, read-only.
    pub fn show(&mut self, source: impl Into<PathBuf>, path: impl Into<PathBuf>) -> &mut Self {
        self.push(Node::Graft { path: path.into(), source: source.into(), read_only: true })
    }

    /// Shows `source` at `path`, writable where it was.
    pub fn share(&mut self, source: impl Into<PathBuf>, path: impl Into<PathBuf>) -> &mut Self {
        self.push(Node::Graft { path: path.into(), source: source.into(), read_only: false })
    }

    pub fn mount(&mut self, kind: &str, path: impl Into<PathBuf>, flags: MsFlags, options: &str) -> &mut Self {
        let (path, kind, options) = (path.into(), kind.to_owned(), options.to_owned());
        self.push(Node::Mount { path, kind, flags, options, or_graft: None })
    }

    /// A fresh file system of this `kind` on a loop device, with this mode at its root.
    pub fn on_loop_device(&mut self, kind: &str, path: impl Into<PathBuf>, mode: u32) -> &mut Self {
        self.push(Node::OnLoopDevice { path: path.into(), kind: kind.to_owned(), mode })
    }

    pub fn push(&mut self, node: Node) -> &mut Self {
        self.nodes.push(node);
        self
    }

    pub fn append(&mut self, mut other: RootPlan) -> &mut Self {
        self.nodes.append(&mut other.nodes);
        self
    }

    /// Takes hold of every grafted tree as it is now, in the caller's mount namespace.
    pub fn open(&self) -> Result<OpenedPlan, RootError> {
        let opened = self.nodes.iter().map(|node| Ok((node.clone(), tree_of(node)?)));
        Ok(OpenedPlan { nodes: opened.collect::<Result<_, RootError>>()? })
    }
}

fn tree_of(node: &Node) -> Result<Option<OwnedFd>, RootError> {
    match node {
        Node::Graft { source, read_only, .. } => clone_tree(source, *read_only).map(Some),
        Node::Mount { or_graft: Some(source), .. } => clone_tree(source, true).map(Some),
        Node::OnLoopDevice { path, kind, .. } => {
            let failed = |source| RootError::Mount { kind: kind.clone(), path: path.clone(), source };
            loop_device::file_system(kind).map_err(failed).map(Some)
        }
        _ => Ok(None),
    }
}

/// A plan whose grafted trees are held open.
pub struct OpenedPlan {
    nodes: Vec<(Node, Option<OwnedFd>)>,
}

/// Raises the plans on a fresh tmpfs, makes it `/` of the calling process and lets go of the old root.
/// Needs a mount namespace of its own in which nothing propagates, and a single-threaded process.
pub fn raise(plans: Vec<OpenedPlan>) -> Result<(), RootError> {
    let enter = |step| move |source: nix::Error| RootError::Enter { step, source: source.into() };
    let scaffold = Path::new(SCAFFOLD);
    mount(Some("lab"), scaffold, Some("tmpfs"), MsFlags::empty(), Some("mode=755")).map_err(|source| {
        RootError::Mount { kind: "tmpfs".into(), path: scaffold.to_owned(), source: source.into() }
    })?;
    for (node, tree) in plans.into_iter().flat_map(|plan| plan.nodes) {
        place(scaffold, &node, tree)?;
    }
    nix::unistd::chdir(scaffold).map_err(enter("chdir"))?;
    nix::unistd::pivot_root(".", ".").map_err(enter("pivot_root"))?;
    umount2(".", MntFlags::MNT_DETACH).map_err(enter("umount of the old root"))?;
    nix::unistd::chdir("/").map_err(enter("chdir"))
}

fn place(root: &Path, node: &Node, tree: Option<OwnedFd>) -> Result<(), RootError> {
    let at = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| RootError::Place { path, source }
    };
    match node {
        Node::Directory { path, mode } => directory(&at(path), *mode).map_err(failed(path)),
        Node::Symlink { path, target } => {
            parent(&at(path)).and_then(|()| symlink(target, at(path))).map_err(failed(path))
        }
        Node::File { path, content, mode } => file(&at(path), content, *mode).map_err(failed(path)),
        Node::Graft { path, .. } => graft(tree, &at(path)).map_err(failed(path)),
        Node::OnLoopDevice { path, mode, .. } => {
            graft(tree, &at(path)).and_then(|()| directory(&at(path), *mode)).map_err(failed(path))
        }
        Node::Mount { path, kind, flags, options, .. } => {
            directory(&at(path), 0o755).map_err(failed(path))?;
            let mounted = mount(Some(kind.as_str()), &at(path), Some(kind.as_str()), *flags, Some(options.as_str()));
            match (mounted, tree) {
                (Ok(()), _) => Ok(()),
                (Err(_), Some(tree)) => graft(Some(tree), &at(path)).map_err(failed(path)),
                (Err(source), None) => {
                    Err(RootError::Mount { kind: kind.clone(), path: path.clone(), source: source.into() })
                }
            }
        }
    }
}

fn parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn directory(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() && mode == 0o755 {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    parent(path)?;
    fs::write(path, content)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn graft(tree: Option<OwnedFd>, path: &Path) -> io::Result<()> {
    let tree = tree.ok_or(io::ErrorKind::NotFound)?;
    if fs::metadata(format!("/proc/self/fd/{}", tree.as_raw_fd()))?.is_dir() {
        fs::create_dir_all(path)?;
    } else {
        parent(path)?;
        fs::OpenOptions::new().create(true).append(true).mode(0o644).open(path)?;
    }
    Ok(move_mount(&tree, "", rustix::fs::CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

fn clone_tree(source: &Path, read_only: bool) -> Result<OwnedFd, RootError> {
    let failed = |error: io::Error| RootError::Open { path: source.to_owned(), source: error };
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(rustix::fs::CWD, source, flags).map_err(|error| failed(error.into()))?;
    if read_only {
        make_read_only(&tree).map_err(failed)?;
    }
    Ok(tree)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace_fd: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;

fn make_read_only(tree: &OwnedFd) -> io::Result<()> {
    let attributes = MountAttributes { set: MOUNT_ATTR_RDONLY, clear: 0, propagation: 0, user_namespace_fd: 0 };
    let empty = CString::default();
    // SAFETY: the path is NUL-terminated, and the structure lives through the call with its size beside it.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            empty.as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
