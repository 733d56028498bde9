//! This engine's own storage drivers, in process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use layerlab_engine::driver::{self, Driver, KNOWN, View};
use layerlab_model::promises::Promises;
use rustix::fs::{Mode, OFlags};

use super::{Stack, Subject, SubjectError};
use crate::machine::Host;

/// A driver by Docker's name.
pub struct EngineDriver {
    name: &'static str,
}

/// Every driver that the engine can open.
pub fn all() -> impl Iterator<Item = EngineDriver> {
    KNOWN.iter().filter(|known| known.is_built_in()).map(|known| EngineDriver { name: known.name })
}

impl Subject for EngineDriver {
    fn name(&self) -> String {
        format!("layerlab-{}", self.name)
    }

    fn promises(&self, host: &Host) -> Promises {
        let is_copy = self.name == "vfs";
        Promises {
            layers: !is_copy,
            root_is_inherited: is_copy,
            copies_can_be_linked: is_copy || host.is_first_namespace,
            inode_numbers_survive_a_remount: is_copy || host.is_first_namespace,
            refused_xattrs_copy_up: !is_copy,
            refused_renames_mark_opaque: !is_copy,
            ..host.promises()
        }
    }

    fn refusal(&self, _host: &Host) -> Option<String> {
        // Below a layer with an upper directory nothing can lie: what is committed goes through a tar into a whole tree.
        (self.name == "overlay").then(|| "layers of Docker's legacy driver are not stacked by themselves".to_owned())
    }

    fn mount_options(&self) -> Option<String> {
        (self.name == "overlay2").then(|| "index=off,metacopy=off,redirect_dir=off".to_owned())
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        let driver = driver::open(Some(self.name), place).map_err(SubjectError::of("open driver on", place))?;
        let mut stack = Layers { driver, place: place.to_owned(), ids: Vec::new(), upper: None, view: None };
        stack.commit()?;
        Ok(Box::new(stack))
    }
}

struct Layers {
    driver: Box<dyn Driver>,
    place: PathBuf,
    ids: Vec<String>,
    upper: Option<OwnedFd>,
    view: Option<View>,
}

impl Layers {
    fn directory(&self, path: &Path) -> Result<OwnedFd, SubjectError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_err(SubjectError::of("open", path))
    }

    fn top(&self) -> &str {
        self.ids.last().map_or("", String::as_str)
    }
}

impl Stack for Layers {
    fn mount(&mut self) -> Result<OwnedFd, SubjectError> {
        let view = self.driver.edit(self.top()).map_err(SubjectError::of("edit the layer in", &self.place))?;
        let root = self.directory(view.path())?;
        self.view = Some(view);
        Ok(root)
    }

    fn unmount(&mut self) -> Result<(), SubjectError> {
        self.view = None;
        Ok(())
    }

    fn upper(&self) -> Option<BorrowedFd<'_>> {
        self.upper.as_ref().map(AsFd::as_fd)
    }

    fn lowers(&self) -> Vec<PathBuf> {
        let (_, lowers) = self.ids.split_last().unwrap_or((&self.ids[0], &[]));
        lowers.iter().map(|id| self.driver.own_files(id)).collect()
    }

    fn commit(&mut self) -> Result<(), SubjectError> {
        let id = format!("{:064x}", self.ids.len() + 1);
        let parent = self.ids.last().map(String::as_str);
        self.driver.create(&id, parent).map_err(SubjectError::of("create a layer in", &self.place))?;
        let graph = self.driver.graph(&id).map_err(SubjectError::of("look for the upper directory in", &self.place))?;
        let upper = graph.data.iter().find(|(key, _)| key == "UpperDir").map(|(_, path)| PathBuf::from(path));
        self.upper = upper.map(|path| self.directory(&path)).transpose()?;
        self.ids.push(id);
        Ok(())
    }
}
