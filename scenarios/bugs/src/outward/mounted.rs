//! A subject with a bug in it, mounted where everybody can look into it, and mounted again when that is asked for.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::Context;
use layerlab_properties::subjects::{Stack, Subject};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};

use super::fuse::bench::Bench;
use super::fuse::serve::{Service, serve};
use crate::bug::ThroughFuse;
use crate::seeded::Seeded;

/// The mount.
pub struct MountedBug {
    seeded: Seeded,
    stack: Box<dyn Stack>,
    at: PathBuf,
    through: ThroughFuse,
    service: Option<Service>,
}

impl MountedBug {
    /// Mounts `seeded`, with its layers below the directory `place`, at the empty directory `at`.
    pub fn begin(seeded: Seeded, through: ThroughFuse, place: &Path, at: &Path) -> anyhow::Result<MountedBug> {
        let stack = seeded.begin(place)?;
        let mut mounted = MountedBug { seeded, stack, at: at.to_owned(), through, service: None };
        mounted.mount()?;
        Ok(mounted)
    }

    fn mount(&mut self) -> anyhow::Result<()> {
        let merged = self.stack.mount()?;
        let bench = Bench::default();
        let served = serve(merged, self.seeded.before(bench.hands()), bench, self.through)
            .context("cannot mount through FUSE")?;
        self.service = Some(served.service);
        let moved = move_mount(&served.root, "", rustix::fs::CWD, &self.at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
        moved.with_context(|| format!("cannot mount on {}", self.at.display()))
    }

    fn unmount(&mut self, flags: UnmountFlags) -> anyhow::Result<()> {
        if self.service.is_none() {
            // It could not be mounted again.
            return Ok(());
        }
        unmount(&self.at, flags).with_context(|| {
            format!(
                "cannot unmount {}: no file in it may be open, nor be anybody's working directory",
                self.at.display()
            )
        })?;
        let ended = self.service.take().map_or(Ok(()), Service::end).context("the mount through FUSE failed");
        let unmounted = self.stack.unmount();
        ended?;
        Ok(unmounted?)
    }

    /// Unmounts and mounts again.
    pub fn remount(&mut self) -> anyhow::Result<()> {
        self.unmount(UnmountFlags::empty())?;
        self.mount()
    }

    /// Unmounts, makes the upper layer a lower one, and mounts with an empty one on top.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        self.unmount(UnmountFlags::empty())?;
        self.stack.commit()?;
        self.mount()
    }

    /// Where the layers lie: the upper one, and the lower ones as overlayfs's `lowerdir` has them, the topmost first.
    pub fn layers(&self) -> io::Result<[(&'static str, OsString); 2]> {
        let mut lowers = self.stack.lowers();
        lowers.reverse();
        let lowers: Vec<OsString> = lowers.into_iter().map(PathBuf::into_os_string).collect();
        let upper = match self.stack.upper() {
            Some(upper) => fs::read_link(format!("/proc/self/fd/{}", upper.as_raw_fd()))?,
            None => PathBuf::new(),
        };
        Ok([("LAYERLAB_LOWER", lowers.join(":".as_ref())), ("LAYERLAB_UPPER", upper.into_os_string())])
    }

    /// Unmounts for good, whoever uses it.
    pub fn end(mut self) -> anyhow::Result<()> {
        self.unmount(UnmountFlags::DETACH)
    }
}
