//! Docker's `fuse-overlayfs` driver: the program of that name stacks the layers, where a kernel does not let an ordinary user do it.
//!
//! On disk as [`super::overlay2`] has it, below `fuse-overlayfs` (source: a recorded dockerd 20.10), but:
//! ```text
//! fuse-overlayfs/<cache id>/
//!     diff/          of an image: deletions are files named as in the layer's tar (`.wh.NAME`, `.wh..wh..opq`); of a container: what the
//!                    program leaves, 0:0 devices where it may make them and the same files where not
//!     work/  0710
//! ```
//! The engine makes the mount and hands the program its end (`engine/src/sys/fuse.rs`), so that no program outlives its mount, and a mount
//! for a look into a layer has no place in the tree. Two programs must not share an upper directory: each holds a lock on its `work`. A
//! layer is what two trees differ in, as with Docker, who does not read the program's marks either.
//!
//! The program's faults are its own, and dockerd shows them too. Known of release 1.10: of two names of one file, one of which was
//! written to, both show a mixture of the two contents when the container is started again (what lies in `diff` is right); and it breaks
//! off when a name of 255 bytes of a lower layer is written to or removed.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::files::{self, exists_is_fine, failed, make_directory};
use super::linked::Linked;
use super::merged::{self, MERGED};
use super::{Deviation, Driver, DriverError, GraphData, View, whole};
use crate::layer::{Change, Kinship, OverlayXattr, Packed, Unpacked};
use crate::sys::fuse::{self, Life, Served};

/// Docker's name of this driver, and the program's.
pub const NAME: &str = "fuse-overlayfs";

/// What it does otherwise than others, seen of release 1.10.
pub(super) const DEVIATIONS: &[Deviation] = &[
    Deviation::NullDevicesHide,
    Deviation::DirectoryTimesUnseen,
    Deviation::NoOverlayXattrs,
    Deviation::CopiesLoseTimes,
    Deviation::CopiesLoseAttributes,
    Deviation::NamesComeApart,
    Deviation::NoFileFlags,
    Deviation::NoHoles,
    Deviation::WhiteoutNamesTaken,
];

/// The mode of a layer's `work`.
pub(crate) const WORK_MODE: u32 = 0o710;

/// How long a mount waits for the program that had the layer before: it has lost its mount, and needs a moment to notice.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(10);

/// How long an unmount waits for its program: one whose mount somebody still looks into goes on until then.
pub(super) const END_LIMIT: Duration = Duration::from_secs(1);

/// Why this machine cannot have the driver, and what would help.
pub(super) fn need() -> Option<String> {
    let is_on_path = |directory: PathBuf| rustix::fs::access(directory.join(NAME), rustix::fs::Access::EXEC_OK).is_ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(is_on_path) {
        return Some(format!(
            "the program {NAME} is not on PATH: install it (apt-get install {NAME}, dnf install {NAME})"
        ));
    }
    let opened = std::fs::File::options().read(true).write(true).open(fuse::DEVICE);
    opened.err().map(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("{} is not here: load it with `modprobe fuse`", fuse::DEVICE),
        _ => format!("{} cannot be opened: {error}", fuse::DEVICE),
    })
}

/// Layers as directories below `<data root>/fuse-overlayfs`.
pub struct FuseOverlayfs {
    layers: Linked,
}

impl FuseOverlayfs {
    /// Opens the driver's directory, making it when it is missing.
    pub fn open(data_root: &Path) -> Result<FuseOverlayfs, DriverError> {
        Ok(FuseOverlayfs { layers: Linked::open(data_root.join(NAME), WORK_MODE)? })
    }

    /// Layer `id` with all below it, written to its own directory or not at all. Paths are relative to the driver's directory: however
    /// many layers there are and whatever that is called, they fit the program's options.
    fn serve(&self, id: &str, writable: bool) -> Result<Served, DriverError> {
        let mut lower = self.layers.lower(id)?;
        let options = if writable {
            format!("lowerdir={},upperdir={id}/diff,workdir={id}/work", lower.join(":"))
        } else {
            lower.insert(0, format!("{id}/diff"));
            format!("lowerdir={}", lower.join(":"))
        };
        tracing::debug!(id, layers = lower.len(), "mount {NAME}");
        let mut program = Command::new(NAME);
        program.current_dir(self.layers.home()).args(["-o", &options]);
        let scratch = writable.then(|| self.layers.work(id));
        let served = fuse::serve(NAME, &mut program, scratch.as_deref(), HAND_OVER_LIMIT);
        let layer = self.layers.layer(id);
        served.and_then(|served| served.map_err(|output| io::Error::other(reason(&output)))).map_err(|error| {
            match (error.kind(), need()) {
                (io::ErrorKind::NotFound, Some(need)) => DriverError::Unsupported(need),
                _ => failed("mount fuse-overlayfs of", &layer)(error),
            }
        })
    }

    fn view_served(&self, id: &str, writable: bool) -> Result<View, DriverError> {
        let Served { mount, life } = self.serve(id, writable)?;
        Ok(View::served(mount, life))
    }

    fn is_base(&self, id: &str) -> Result<bool, DriverError> {
        Ok(self.layers.lower(id)?.is_empty())
    }
}

/// What a program said that could not start.
fn reason(output: &std::process::Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("unknown argument ignored")).collect();
    if said.is_empty() { format!("the program ended with {}", output.status) } else { said.join("; ") }
}

impl Driver for FuseOverlayfs {
    fn name(&self) -> &'static str {
        NAME
    }

    fn deviations(&self) -> &'static [Deviation] {
        DEVIATIONS
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        self.layers.create(id, parent)
    }

    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        self.layers.adopt(id, parent, content)
    }

    fn marks(&self) -> OverlayXattr {
        OverlayXattr::Program
    }

    fn attach(&self, id: &str) -> Result<PathBuf, DriverError> {
        if self.is_base(id)? {
            return Ok(self.layers.diff(id));
        }
        let merged = self.attached_at(id);
        make_directory(&merged, 0o700).or_else(exists_is_fine).map_err(failed("create", &merged))?;
        let attached = self
            .serve(id, true)
            .and_then(|served| served.mount.attach(&merged).map_err(failed("mount fuse-overlayfs on", &merged)));
        if attached.is_err() {
            let _ = std::fs::remove_dir(&merged);
        }
        attached.map(|()| merged)
    }

    fn attached_at(&self, id: &str) -> PathBuf {
        self.layers.layer(id).join(MERGED)
    }

    fn detach(&self, id: &str) -> Result<(), DriverError> {
        merged::detach(&self.layers.layer(id))?;
        if let Ok(life) = Life::of(&self.layers.work(id)) {
            life.wait_for_end(END_LIMIT).map_err(failed("wait for the program that served", &self.layers.layer(id)))?;
        }
        Ok(())
    }

    /// The lowest layer too is seen through the program: its tar may have whiteouts, which hide nothing there.
    fn view(&self, id: &str) -> Result<View, DriverError> {
        match merged::attached(&self.layers.layer(id))? {
            Some(view) => Ok(view),
            None => self.view_served(id, false),
        }
    }

    fn edit(&self, id: &str) -> Result<View, DriverError> {
        match merged::attached(&self.layers.layer(id))? {
            Some(view) => Ok(view),
            None if self.is_base(id)? => Ok(View::of(self.layers.diff(id))),
            None => self.view_served(id, true),
        }
    }

    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let (old, new) = (self.view(parent)?, self.view(id)?);
        self.layers.changes((id, new.path()), (parent, old.path()), self.marks())
    }

    fn pack(&self, id: &str, parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError> {
        let (old, new) = (parent.map(|parent| self.view(parent)).transpose()?, self.view(id)?);
        let upper = self.layers.diff(id);
        let kinship = Kinship::Upper(&upper, self.marks());
        whole::pack_difference(old.as_ref().map(View::path), new.path(), kinship, self.layers.home(), out)
    }

    fn own_files(&self, id: &str) -> PathBuf {
        self.layers.diff(id)
    }

    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError> {
        let below = whole::init_of(id);
        if !self.layers.layer(&below).is_dir() {
            let diff = self.layers.diff(id);
            return files::size_below(&diff).map_err(failed("measure", &diff));
        }
        let upper = self.layers.diff(id);
        let kinship = Kinship::Upper(&upper, self.marks());
        whole::difference_bytes(self.view(&below)?.path(), self.view(id)?.path(), kinship)
    }

    /// dockerd measures the directory, as with `overlay2`.
    fn size_bytes(&self, unpacked: &Unpacked) -> u64 {
        unpacked.size_bytes
    }

    fn remove(&self, id: &str) -> Result<(), DriverError> {
        self.detach(id)?;
        self.layers.remove(id)
    }

    fn all(&self) -> Result<Vec<String>, DriverError> {
        self.layers.all()
    }

    fn graph(&self, id: &str) -> Result<GraphData, DriverError> {
        Ok(GraphData { name: NAME.to_owned(), data: self.layers.graph(id)? })
    }
}

#[cfg(test)]
mod tests;
