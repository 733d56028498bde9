//! What a layer hides of those below: whiteouts and opaque marks, and what becomes of them where it has the name itself, whichever comes first.

use std::ffi::OsStr;
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::attributes::set_mtime;
use super::files::make_device;
use super::{Layer, Place, UnpackError, inode};
use crate::layer::archive::Entry;
use crate::layer::root;
use crate::layer::whiteout::{self, Hides};

impl Layer {
    pub(super) fn mark_opaque(&self, place: &Place<'_>) -> Result<(), UnpackError> {
        match self.options.overlay.opaque() {
            Some(mark) => root::set_xattr(place.fd(), place.name, mark.as_bytes(), b"y"),
            None => {
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                fs::openat(place.fd(), whiteout::OPAQUE, flags, Mode::RUSR | Mode::WUSR).map(drop)
            }
        }
        .map_err(place.error("mark as opaque"))
    }

    /// Takes away the file that says that a name is gone, when the layer has the name too: it would hide it. True if there was one.
    pub(super) fn take_whiteout_file(&self, place: &Place<'_>) -> Result<bool, UnpackError> {
        let Some(file_name) = whiteout::file_name(place.name).filter(|_| self.options.overlay.has_files()) else {
            return Ok(false);
        };
        match fs::unlinkat(place.fd(), file_name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(place.error("replace the whiteout of")(errno)),
        }
    }

    /// Whether the layer has something itself that it also hides below: that stays, whichever comes first, and a directory shows nothing
    /// of the one below (OCI image-spec, `layer.md`, "Whiteouts").
    pub(super) fn has_been_made(&mut self, place: &Place<'_>) -> Result<bool, UnpackError> {
        let found = root::stat(place.fd(), place.name).map_err(place.error("look at"))?;
        let Some(found) = found.filter(|found| !self.is_whiteout(place.name, found)) else { return Ok(false) };
        if root::file_type(&found) == FileType::Directory {
            let inside = root::open_real_directory(place.fd(), place.name).map_err(place.error("open"))?;
            self.mark_opaque(&Place { directory: Rc::new(inside), name: OsStr::new("."), path: place.path })?;
            self.replaced.insert(inode(&found));
        }
        Ok(true)
    }

    pub(super) fn is_whiteout(&self, name: &OsStr, found: &Stat) -> bool {
        matches!(self.options.overlay.hides(name, found), Some(Hides::Name(hidden)) if hidden == name)
    }

    pub(super) fn white_out(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), UnpackError> {
        if self.has_been_made(place)? {
            return Ok(());
        }
        self.remove(place)?;
        make_device(place, FileType::CharacterDevice, 0, 0, 0)?;
        self.give_owner(entry, place, None)?;
        set_mtime(place, entry.mtime)
    }
}
