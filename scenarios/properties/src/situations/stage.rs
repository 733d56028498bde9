//! Where a situation is arranged: a stack of the subject, mounted, with ordinary paths into it.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context;
use layerlab_engine::sys::namespace;
use layerlab_model::promises::Promises;
use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, move_mount};

use crate::case::prepare_thread;
use crate::machine::Host;
use crate::subjects::{Stack, Subject};
use crate::tree::{self, Tree};

/// A stack that is mounted.
pub struct Stage<'a> {
    /// What its subject promises here.
    pub promises: Promises,
    subject: &'a dyn Subject,
    place: &'a Path,
    stack: Box<dyn Stack>,
    merged: Option<OwnedFd>,
    meddle: &'a dyn Fn(&Stage<'_>, &Path),
}

impl<'a> Stage<'a> {
    /// Begins with one empty layer below the empty directory `place`.
    pub fn begin(
        subject: &'a dyn Subject,
        host: &Host,
        place: &'a Path,
        meddle: &'a dyn Fn(&Stage<'_>, &Path),
    ) -> anyhow::Result<Stage<'a>> {
        let stack_place = place.join("stack");
        fs::create_dir(&stack_place)?;
        let promises = subject.promises(host);
        let stack = subject.begin(&stack_place)?;
        let mut stage = Stage { promises, subject, place, stack, merged: None, meddle };
        stage.mount()?;
        Ok(stage)
    }

    /// Begins in another place.
    pub fn again_in<'b>(&self, host_place: &'b Path) -> anyhow::Result<Stage<'b>>
    where
        'a: 'b,
    {
        let stack_place = host_place.join("stack");
        fs::create_dir(&stack_place)?;
        let stack = self.subject.begin(&stack_place)?;
        let Stage { promises, subject, meddle, .. } = *self;
        let mut stage = Stage { promises, subject, place: host_place, stack, merged: None, meddle };
        stage.mount()?;
        Ok(stage)
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        self.merged = Some(self.stack.mount()?);
        Ok(())
    }

    fn unmount(&mut self) -> anyhow::Result<()> {
        self.merged = None;
        Ok(self.stack.unmount()?)
    }

    /// Does `edit` while nothing is mounted. It is given the topmost lower directory, where there is one, and the upper one.
    pub fn edit(
        &mut self,
        edit: impl FnOnce(Option<&Path>, Option<&Path>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.unmount()?;
        edit(self.stack.lowers().last().map(PathBuf::as_path), self.upper_root().as_deref())?;
        self.mount()
    }

    /// Unmounts and mounts again.
    pub fn remount(&mut self) -> anyhow::Result<()> {
        self.edit(|_, _| Ok(()))
    }

    /// Makes what was written until now a lower layer.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        self.unmount()?;
        self.stack.commit()?;
        self.mount()
    }

    /// A path in the merged tree.
    pub fn at(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// The root of the merged tree.
    pub fn root(&self) -> PathBuf {
        self.merged.as_ref().map_or_else(|| PathBuf::from("/nowhere"), within)
    }

    /// Gives the merged tree a place in the tree of all mounts, a new directory of this name, too.
    pub fn attached(&self, name: &str) -> anyhow::Result<Mounted> {
        let merged = self.merged.as_ref().context("it is not mounted")?;
        let place = self.directory(name)?;
        // What has a place is given another. What has none can only be moved, before Linux 6.15.
        rustix::mount::mount_bind(within(merged), &place)
            .or_else(|_| move_mount(merged, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH))
            .with_context(|| format!("cannot attach the merged tree to {}", place.display()))?;
        Ok(Mounted::on(&place))
    }

    /// The merged tree, read whole by a thread of its own, since a working directory in it would keep it mounted.
    pub fn read(&self) -> anyhow::Result<Tree> {
        let merged = self.merged.as_ref().context("it is not mounted")?;
        let read = || prepare_thread().and_then(|()| tree::of_disk(merged));
        let read = thread::scope(|scope| scope.spawn(read).join());
        read.unwrap_or(Err(rustix::io::Errno::IO)).context("the tree cannot be read")
    }

    /// The upper directory, as overlayfs keeps it, where there is one.
    pub fn upper_root(&self) -> Option<PathBuf> {
        self.stack.upper().map(|upper| PathBuf::from(format!("/proc/self/fd/{}", upper.as_raw_fd())))
    }

    /// The directory in which overlayfs works, where it is the kernel's.
    pub fn work(&self) -> Option<PathBuf> {
        self.stack.work()
    }

    /// A directory of its own, outside of the stack.
    pub fn directory(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.place.join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Where those are, and the stack.
    pub fn place(&self) -> &Path {
        self.place
    }

    /// The options of the kernel's own overlayfs by which the subject is mounted, a name and a value each, where it is one.
    pub fn overlay_options(&self) -> Option<Vec<(String, String)>> {
        let split = |option: &str| {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            (name.to_owned(), value.to_owned())
        };
        self.subject.mount_options().map(|options| options.split(',').map(split).collect())
    }

    /// How overlayfs's own attributes begin on this mount, where it is an overlay.
    pub fn private_prefix(&self) -> Option<&'static str> {
        let options = self.overlay_options()?;
        let is_users = namespace::is_user_namespace() || options.iter().any(|(name, _)| name == "userxattr");
        Some(if is_users { "user.overlay." } else { "trusted.overlay." })
    }

    /// The moment before a situation looks at what came of it.
    pub fn look(&self) {
        self.look_at(&self.root());
    }

    /// The same, where it looks at a tree that was mounted by hand.
    pub fn look_at(&self, root: &Path) {
        (self.meddle)(self, root);
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.unmount() {
            eprintln!("layerlab-laws: cannot leave a situation: {error:#}");
        }
    }
}

/// A path to what is open.
pub fn within(directory: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()))
}

/// So many files there is room for in a small file system.
const FILES_MAX: u64 = 1000;

/// A file system in memory that is full after `bytes`, or a thousand files, mounted on the directory `place`.
pub fn tmpfs_of(bytes: u64, place: &Path) -> anyhow::Result<Mounted> {
    let options = format!("size={bytes},nr_inodes={FILES_MAX},mode=755");
    let flags = nix::mount::MsFlags::empty();
    nix::mount::mount(Some("layerlab-laws"), place, Some("tmpfs"), flags, Some(options.as_str()))
        .with_context(|| format!("cannot mount a tmpfs on {}", place.display()))?;
    Ok(Mounted { place: place.to_owned() })
}

/// What is mounted on a directory for as long as this lives.
#[derive(Debug)]
pub struct Mounted {
    place: PathBuf,
}

impl Mounted {
    /// Takes care that what is mounted on `place` goes.
    pub fn on(place: &Path) -> Mounted {
        Mounted { place: place.to_owned() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.place
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(errno) = nix::mount::umount2(&self.place, nix::mount::MntFlags::MNT_DETACH) {
            eprintln!("layerlab-laws: cannot unmount {}: {errno}", self.place.display());
        }
    }
}
