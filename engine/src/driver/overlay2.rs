//! The `overlay2` driver: one kernel overlay per container, one directory per layer.
//!
//! On disk (source: a recorded dockerd 20.10), below the data root:
//! ```text
//! overlay2/l/<link>            -> ../<cache id>/diff   short names, so that many layers fit one mount option
//! overlay2/<cache id>/  0710
//!     diff/                    what this layer adds: files, whiteouts (0:0 devices), opaque directories (xattr)
//!     link                     its short name, 26 characters
//!     lower                    l/<parent>:l/<grandparent>:…   (not in a base layer)
//!     work/                    overlayfs's scratch directory  (not in a base layer)
//!     committed                empty; something lies on top, so this layer is mounted read-only
//!     merged/                  the mount of a running container; gone with it
//! ```
//! Lower layers are read where they lie; copy-up and whiteouts are the kernel's.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat};
use rustix::io::Errno;

use super::files::{self, failed};
use super::linked::Linked;
use super::merged::{self, MERGED};
use super::{Deviation, Driver, DriverError, GraphData, View};
use crate::layer::{Change, OverlayXattr, Packed, Unpacked, pack};
use crate::sys::namespace;
use crate::sys::overlay::Overlay;

/// Docker's name of this driver.
pub const NAME: &str = "overlay2";

/// A kernel stacks 500 lower directories and no more, however they are named (`OVL_MAX_STACK` of `fs/overlayfs/params.h`: by `lowerdir=`, which has to fit a
/// page, as by `lowerdir+`, which takes any number of paths; both are used, `engine/src/sys/overlay.rs`). An image of 500 could be looked into
/// and never run: a container's `-init` layer lies on it. And a container that does not run is looked into (`diff`, `cp`, `commit`, `export`)
/// as two more lower directories, `-init` and its own: it must not be the upper directory of a second mount.
const LAYERS_MAX: usize = 498;

/// What it does otherwise than others.
pub(super) const DEVIATIONS: &[Deviation] = &[Deviation::LayerIsTheUpper, Deviation::NullDevicesHide];

/// The mode of a layer's `work`.
pub(crate) const WORK_MODE: u32 = 0o700;

/// Layers as directories below `<data root>/overlay2`.
pub struct Overlay2 {
    layers: Linked,
}

impl Overlay2 {
    /// Opens the driver's directory, making it when it is missing.
    pub fn open(data_root: &Path) -> Result<Overlay2, DriverError> {
        Ok(Overlay2 { layers: Linked::open(data_root.join(NAME), WORK_MODE)? })
    }

    fn layer(&self, id: &str) -> PathBuf {
        self.layers.layer(id)
    }

    fn lower_mounts(&self, id: &str) -> Result<Vec<PathBuf>, DriverError> {
        Ok(self.layers.lower(id)?.iter().map(|link| self.layers.home().join(link)).collect())
    }

    /// The overlay of a layer with its own directory writable.
    fn writable(&self, id: &str) -> Result<Overlay, DriverError> {
        Ok(Overlay { lower: self.lower_mounts(id)?, upper: Some((self.layers.diff(id), self.layers.work(id))) })
    }
}

/// The kernel lets the mark of an opaque directory be at the root of a layer, since all roots are one: what `content` hides as a whole is
/// hidden name by name. `below` is what it will lie on.
fn hide_if_opaque(content: &Path, below: impl FnOnce() -> Result<View, DriverError>) -> Result<(), DriverError> {
    let Some(opaque) = merged::marks().opaque() else { return Ok(()) };
    match rustix::fs::removexattr(content, opaque) {
        Err(Errno::NODATA) => return Ok(()),
        removed => removed.map_err(|errno| failed("read the opaque mark of", content)(errno.into()))?,
    }
    let below = below()?;
    let hide = || -> io::Result<()> {
        let modified = fs::metadata(content)?.modified()?;
        for entry in fs::read_dir(below.path())? {
            let entry = entry?;
            let hiding = content.join(entry.file_name());
            match fs::symlink_metadata(&hiding) {
                Ok(meta) if meta.is_dir() => rustix::fs::setxattr(&hiding, opaque, b"y", XattrFlags::empty())?,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    mknodat(CWD, &hiding, FileType::CharacterDevice, Mode::empty(), 0)?;
                }
                Err(error) => return Err(error),
            }
        }
        fs::File::open(content)?.set_modified(modified)
    };
    hide().map_err(failed("hide what lies below", content))
}

impl Driver for Overlay2 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn layers_max(&self) -> usize {
        LAYERS_MAX
    }

    fn deviations(&self) -> &'static [Deviation] {
        DEVIATIONS
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        vec![
            ("Backing Filesystem", files::backing_file_system(self.layers.home())),
            ("Supports d_type", "true".to_owned()),
            ("Native Overlay Diff", "true".to_owned()),
            ("userxattr", namespace::is_user_namespace().to_string()),
        ]
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        self.layers.create(id, parent)
    }

    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        if let Some(parent) = parent {
            hide_if_opaque(content, || self.view(parent))?;
        }
        self.layers.adopt(id, parent, content)
    }

    fn marks(&self) -> OverlayXattr {
        merged::marks()
    }

    fn attach(&self, id: &str) -> Result<PathBuf, DriverError> {
        merged::attach(&self.writable(id)?, &self.layer(id))
    }

    fn attached_at(&self, id: &str) -> PathBuf {
        self.layer(id).join(MERGED)
    }

    fn detach(&self, id: &str) -> Result<(), DriverError> {
        merged::detach(&self.layer(id))
    }

    fn view(&self, id: &str) -> Result<View, DriverError> {
        let layer = self.layer(id);
        if let Some(view) = merged::attached(&layer)? {
            return Ok(view);
        }
        let diff = self.layers.diff(id);
        let mut lower = vec![diff.clone()];
        lower.extend(self.lower_mounts(id)?);
        if lower.len() == 1 {
            return Ok(View::of(diff));
        }
        merged::detached(&Overlay { lower, upper: None }, &layer)
    }

    fn edit(&self, id: &str) -> Result<View, DriverError> {
        if let Some(view) = merged::attached(&self.layer(id))? {
            return Ok(view);
        }
        let overlay = self.writable(id)?;
        if overlay.lower.is_empty() {
            return Ok(View::of(self.layers.diff(id)));
        }
        merged::detached(&overlay, &self.layer(id))
    }

    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let (old, new) = (self.view(parent)?, self.view(id)?);
        self.layers.changes((id, new.path()), (parent, old.path()), self.marks())
    }

    fn pack(&self, id: &str, _parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError> {
        merged::with_pack_options(|options| Ok(pack(&self.layers.diff(id), options, out)?))
    }

    fn own_files(&self, id: &str) -> PathBuf {
        self.layers.diff(id)
    }

    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError> {
        let diff = self.layers.diff(id);
        files::size_below(&diff).map_err(failed("measure", &diff))
    }

    /// dockerd measures the directory here, where a symbolic link is as long as its target; its other drivers add up headers.
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
