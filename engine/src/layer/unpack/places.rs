//! Where an entry goes: the directories on the way, made where the layer did not, and which of them no entry was about.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::{self, AtFlags, FileType};
use rustix::io::Errno;

use super::{Contents, Layer, Place, UnpackError, inode, io_error};
use crate::layer::root;

impl Layer {
    /// Opens the directory that `path` stands in, making it where the layer did not; for `.`, `path` itself.
    pub(super) fn place<'a>(&mut self, path: &'a Path, name: &'a OsStr) -> Result<Place<'a>, UnpackError> {
        let parent = if name == "." { path } else { path.parent().unwrap_or(Path::new("")) };
        // Whatever it is used for now may change what its path leads to, unless it is a file again.
        if let Some((_, directory)) = self.latest.take().filter(|(latest, _)| latest == parent) {
            return Ok(Place { directory, name, path });
        }
        let found = match self.root.directory(parent) {
            Err(Errno::NOENT | Errno::NOTDIR) => {
                if self.options.contents == Contents::Layer {
                    self.clear_way(parent)?;
                }
                self.root.directory_or_new(parent, &mut |made| {
                    self.implied.insert(inode(made));
                })
            }
            found => found,
        };
        let directory = found.map_err(|errno| io_error("make the parent directory of", path, errno))?;
        Ok(Place { directory: Rc::new(directory), name, path })
    }

    /// Where the layer hides a directory on the way that it has itself, though no entry is about it, that one is made, and hides the one below.
    fn clear_way(&mut self, path: &Path) -> Result<(), UnpackError> {
        let error = |errno| io_error("make the parent directory of", path, errno);
        if !matches!(self.root.directory(path), Err(Errno::NOENT | Errno::NOTDIR)) {
            return Ok(());
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
        self.clear_way(parent)?;
        let Ok(directory) = self.root.directory(parent) else { return Ok(()) };
        let place = Place { directory: Rc::new(directory), name, path };
        let found = root::stat(place.fd(), name).map_err(error)?;
        let is_hidden = match found {
            Some(found) if self.is_whiteout(name, &found) => {
                fs::unlinkat(place.fd(), name, AtFlags::empty()).map_err(error)?;
                true
            }
            Some(_) => false,
            None => self.take_whiteout_file(&place)?,
        };
        if is_hidden {
            let directory = self.root.directory_or_new(path, &mut |_| {}).map_err(error)?;
            self.mark_opaque(&Place { directory: Rc::new(directory), name: OsStr::new("."), path })?;
        }
        Ok(())
    }

    /// Finds the directories that no entry was about.
    pub(super) fn find_unnamed(&mut self) -> Result<(), UnpackError> {
        let root = self.root.open_directory(Path::new("")).map_err(|errno| io_error("open", Path::new("."), errno))?;
        let stat = fs::fstat(&root).map_err(|errno| io_error("look at", Path::new("."), errno))?;
        if !self.directories.contains_key(&inode(&stat)) {
            self.done.unnamed.push(PathBuf::new());
        }
        self.implied.retain(|made| !self.directories.contains_key(made) && !self.replaced.contains(made));
        if !self.implied.is_empty() {
            self.find_implied(root, Path::new(""))?;
        }
        Ok(())
    }

    /// Finds those below a directory.
    fn find_implied(&mut self, directory: OwnedFd, path: &Path) -> Result<(), UnpackError> {
        let error = |errno| io_error("look for directories in", path, errno);
        for name in root::sorted_names(directory.as_fd()).map_err(error)? {
            let Some(stat) = root::stat(directory.as_fd(), &name).map_err(error)? else { continue };
            if root::file_type(&stat) != FileType::Directory {
                continue;
            }
            let path = path.join(&name);
            if self.implied.contains(&inode(&stat)) {
                self.done.unnamed.push(path.clone());
            }
            let inside = root::open_real_directory(directory.as_fd(), &name).map_err(error)?;
            self.find_implied(inside, &path)?;
        }
        Ok(())
    }
}
