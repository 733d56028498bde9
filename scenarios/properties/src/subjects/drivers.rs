//! This engine's own storage drivers, in process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use layerlab_engine::driver::{self, Driver, KNOWN, View};
use layerlab_engine::layer::{Contents, Owners, UnpackOptions, unpack};
use layerlab_model::promises::Promises;
use rustix::fs::{Mode, OFlags};

use super::{Applied, Stack, Subject, SubjectError};
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
            copies_can_be_linked: is_copy || host.promises().first_namespace,
            inode_numbers_survive_a_remount: is_copy || host.promises().first_namespace,
            refused_xattrs_copy_up: !is_copy,
            refused_renames_prepare: !is_copy,
            missing_acls_are_missed_below: !is_copy,
            // The lowest layer is no overlay mount.
            whiteouts_are_refused: false,
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
        let mut stack = Layers {
            driver,
            place: place.to_owned(),
            ids: Vec::new(),
            upper: None,
            view: None,
            reads_its_upper: self.name == "overlay2",
        };
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
    reads_its_upper: bool,
}

/// Layers that are applied tars are numbered from here.
const APPLIED: usize = 1 << 20;

impl Layers {
    fn directory(&self, path: &Path) -> Result<OwnedFd, SubjectError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_err(SubjectError::of("open", path))
    }

    fn apply(&mut self) -> Result<Applied, SubjectError> {
        let place = self.place.clone();
        let (id, below) = match &self.ids[..] {
            [.., below, id] => (id, Some(below.as_str())),
            [id] => (id, None),
            [] => return Err(SubjectError::of("find a layer in", &place)("there is none")),
        };
        let mut tars = [Vec::new(), Vec::new()];
        let mut diff_ids = [String::new(), String::new()];
        for (tar, diff_id) in tars.iter_mut().zip(&mut diff_ids) {
            let packed = self.driver.pack(id, below, tar).map_err(SubjectError::of("pack the layer in", &place))?;
            *diff_id = packed.diff_id.to_string();
        }
        let content = tempfile::tempdir_in(&self.place).map_err(SubjectError::of("make a directory in", &place))?;
        let options =
            UnpackOptions { contents: Contents::Layer, overlay: self.driver.marks(), owners: Owners::AsRecorded };
        unpack(&tars[0][..], content.path(), &options).map_err(SubjectError::of("unpack a layer in", &place))?;
        let other = format!("{:064x}", APPLIED + self.ids.len());
        self.driver.adopt(&other, below, content.path()).map_err(SubjectError::of("adopt a layer in", &place))?;
        let view = self.driver.view(&other).map_err(SubjectError::of("look at the adopted layer in", &place))?;
        Ok(Applied { tree: self.directory(view.path())?, diff_ids, holds: Box::new(view) })
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

    /// The diff of a driver that compares trees sees what lstat(2) tells, and no more.
    fn applied(&mut self) -> Option<Result<Applied, SubjectError>> {
        self.reads_its_upper.then(|| self.apply())
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
