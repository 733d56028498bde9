//! Where everything is measured: a file system in memory with a journal, a registry on the loopback device, namespaces of its own.
//!
//! *Why*: a disk's own caches, and a journal-less ext4 that has deleted much, make the same work ten times slower from one minute to
//! the next. *Holds*: all state of all peers lies below [`Bed::root`], and it is gone with this process, its mounts and its network.
//! *Source*: mount_namespaces(7), network_namespaces(7).

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use layerlab_scenarios::lab::root::RootPlan;
use layerlab_scenarios::lab::sandbox::{Outcome, Sandbox};
use layerlab_scenarios::registry::{Registry, RegistryHandle, RegistryOptions};
use nix::mount::{MsFlags, mount};

use crate::image::Image;
use crate::results::Space;
use crate::task::succeed;

/// How large the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// What `README.md` tells of.
    Full,
    /// As small as can be: whether it works at all.
    Tiny,
}

impl Scale {
    /// The one or the other.
    pub fn pick<T>(self, full: T, tiny: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Tiny => tiny,
        }
    }
}

/// What all peers are given.
pub struct Bed {
    root: PathBuf,
    /// Whether we are the host's root.
    pub is_root: bool,
    pub scale: Scale,
    pub image: Image,
    registry: RegistryHandle,
}

/// The network is our own.
const PORT: u16 = 5000;

/// Sparse: what is not written takes no memory, and what is removed gives it back.
const DISK_BYTES: u64 = 12 << 30;
/// What a full run needs at least.
const MEMORY_BYTES_MIN: u64 = 6 << 30;

impl Bed {
    /// Makes it in `place`, and lets the registry serve `image`.
    pub fn make(place: &Place, scale: Scale, image: Image) -> anyhow::Result<Bed> {
        let Place { path, is_root } = place;
        let available = available_bytes()?;
        let needed = scale.pick(MEMORY_BYTES_MIN, 0);
        ensure!(
            available >= needed,
            "all lies in memory: {} MiB are free, and {} are wanted; --tiny wants less",
            available >> 20,
            needed >> 20
        );
        let root = if *is_root { disk(path).context("cannot make a file system in memory")? } else { path.clone() };
        let listener = TcpListener::bind(("127.0.0.1", PORT)).context("cannot serve images")?;
        let registry = Registry::serve(listener, image.layout.clone(), RegistryOptions::default())?;
        Ok(Bed { root, is_root: *is_root, scale, image, registry })
    }

    /// A directory that is there, below the root.
    pub fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// What the image is pulled as.
    pub fn reference(&self) -> String {
        format!("{}/{}", self.registry.addr(), self.image.name)
    }

    /// What everything lies on.
    pub fn storage(&self) -> &'static str {
        match self.is_root {
            true => "ext4 with a journal, on a loop device, in memory",
            false => "tmpfs, in a user namespace",
        }
    }

    /// What the image of half of its layers is pulled as.
    pub fn half(&self) -> String {
        format!("{}/{}", self.registry.addr(), self.image.half)
    }

    /// What the image with layers in zstd is pulled as.
    pub fn zstd(&self) -> String {
        format!("{}/{}", self.registry.addr(), self.image.zstd)
    }

    /// Lets what earlier runs have written reach the disk, so that the next one does not pay for it.
    pub fn settle(&self) -> anyhow::Result<()> {
        rustix::fs::syncfs(File::open(&self.root)?)?;
        Ok(())
    }

    /// What is used of the file system, when all that was written has reached it.
    pub fn used(&self) -> anyhow::Result<Space> {
        self.settle()?;
        let facts = rustix::fs::statvfs(&self.root)?;
        let bytes = facts.f_blocks.saturating_sub(facts.f_bfree) * facts.f_frsize;
        let inodes = facts.f_files.saturating_sub(facts.f_ffree);
        Ok(Space { bytes: bytes.cast_signed(), inodes: inodes.cast_signed() })
    }

    /// Removes what lies below a directory of that name, and makes it anew.
    pub fn emptied(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.root.join(name);
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        self.directory(name)
    }
}

/// Where a bed can be made.
pub struct Place {
    path: PathBuf,
    /// Whether we are the host's root, and not one of a user namespace.
    is_root: bool,
}

/// Calls `body` in a sandbox that has the host's files, and namespaces and control groups of its own: all that is begun or mounted in it
/// ends with it, however that comes. Only with one thread.
pub fn within(body: impl FnOnce(&Place) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let is_root = nix::unistd::geteuid().is_root();
    let mut root = RootPlan::default();
    for entry in fs::read_dir("/")? {
        let path = entry?.path();
        match path.symlink_metadata()?.file_type() {
            kind if kind.is_symlink() => root.symlink(&path, fs::read_link(&path)?),
            kind if kind.is_dir() && !path.ends_with("proc") => root.share(&path, &path),
            _ => &mut root,
        };
    }
    root.mount("proc", "/proc", MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, "")
        .directory(PLACE, 0o755);
    // What engines keep outside of their data root (sockets, locks, state) is neither taken from the host nor left there.
    for path in ["/run", "/dev/shm", "/var/lib/containers", "/var/tmp"].iter().filter(|path| Path::new(path).is_dir()) {
        root.mount("tmpfs", path, MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=0755");
    }
    let sandbox = Sandbox { root, cgroup: is_root, ..Sandbox::default() };
    let outcome = sandbox.run(|_| match body(&Place { path: PLACE.into(), is_root }) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("layerlab-bench: {error:#}");
            1
        }
    })?;
    match outcome {
        Outcome::Ended { status: 0 } => Ok(()),
        _ => bail!("nothing was measured to its end"),
    }
}

/// Inside, a directory of no file system of the host's.
const PLACE: &str = "/layerlab-bench";

/// How much memory this machine can give.
fn available_bytes() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("no MemAvailable in /proc/meminfo")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

/// An ext4 with a journal, by a loop device, in a file in memory.
fn disk(directory: &Path) -> anyhow::Result<PathBuf> {
    mount(Some("tmpfs"), directory, Some("tmpfs"), MsFlags::empty(), Some("size=90%,mode=0755"))?;
    let (file, root) = (directory.join("disk"), directory.join("root"));
    File::create(&file)?.set_len(DISK_BYTES)?;
    let mut make = Command::new("mkfs.ext4");
    make.args(["-q", "-F", "-m", "0", "-E", "nodiscard"]).arg(&file);
    succeed(make)?;
    fs::create_dir(&root)?;
    let mut mount = Command::new("mount");
    mount.args(["-o", "loop,discard"]).args([&file, &root]);
    succeed(mount)?;
    Ok(root)
}
