//! A stack of layers that a driver program keeps.

use std::cell::Cell;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use layerlab_engine::layer::{Kinship, OverlayXattr, PackOptions, changes_and_links, pack_changes};
use layerlab_model::store;
use layerlab_model::text::Text;
use rustix::fs::{Mode, OFlags};

use super::call::{Call, DataRoot};
use crate::subjects::{Applied, Diff, Frozen, Order, Stack, SubjectError, Tar, Used, elsewhere};

/// Layers of a program, of which the topmost is written to.
pub struct Layers {
    call: Rc<DataRoot>,
    count: usize,
    /// How many layers were made to be looked at.
    passed: Cell<usize>,
    has_tars: bool,
}

/// What layer `number` is called.
pub fn called(number: usize) -> String {
    format!("layer-{number}")
}

impl Layers {
    /// A stack of one empty layer.
    pub fn begin(call: Call, has_tars: bool) -> Result<Layers, SubjectError> {
        let mut layers = Layers { call: Rc::new(DataRoot(call)), count: 0, passed: Cell::new(0), has_tars };
        layers.commit()?;
        Ok(layers)
    }

    /// For `map_err`.
    fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        operation: &'static str,
    ) -> impl FnOnce(E) -> SubjectError {
        SubjectError::of(operation, self.call.place())
    }

    /// A name for a layer that is made to be looked at.
    fn passing(&self) -> String {
        format!("passing-{}", self.passed.replace(self.passed.get() + 1))
    }

    /// What layer `number` shows, by way of an empty layer on it.
    fn shown(&self, number: usize) -> Result<Shown, SubjectError> {
        let id = self.passing();
        self.call.done(&["create", &id, &called(number)]).map_err(self.failed("look at a layer in"))?;
        let mut shown = Shown { call: Rc::clone(&self.call), ids: vec![id], path: PathBuf::new(), is_mounted: false };
        shown.mount()?;
        Ok(shown)
    }
}

/// A layer that is mounted to be looked at; it goes with the value, and with what it lies on that was made for it.
struct Shown {
    call: Rc<DataRoot>,
    /// The topmost last.
    ids: Vec<String>,
    path: PathBuf,
    is_mounted: bool,
}

impl Shown {
    fn top(&self) -> &str {
        self.ids.last().map_or("", String::as_str)
    }

    fn mount(&mut self) -> Result<(), SubjectError> {
        self.path = self.call.mounted(self.top()).map_err(SubjectError::of("mount a layer in", self.call.place()))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), SubjectError> {
        self.is_mounted = false;
        let unmounted = self.call.unmounted(self.top());
        unmounted.map_err(SubjectError::of("unmount a layer in", self.call.place()))
    }

    fn applied(self) -> Result<Applied, SubjectError> {
        Ok(Applied { tree: directory(&self.path)?, holds: vec![Box::new(self)] })
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let unmounted = if self.is_mounted { self.unmount().err().map(|error| error.to_string()) } else { None };
        let removals = self.ids.iter().rev().map(|id| self.call.done(&["remove", id]));
        for error in unmounted.into_iter().chain(removals.filter_map(Result::err).map(|error| error.to_string())) {
            eprintln!("layerlab-laws: a layer that was looked at is left: {error}");
        }
    }
}

fn directory(path: &Path) -> Result<OwnedFd, SubjectError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(SubjectError::of("open", path))
}

impl Stack for Layers {
    fn mount(&mut self) -> Result<OwnedFd, SubjectError> {
        let top = called(self.count - 1);
        directory(&self.call.mounted(&top).map_err(self.failed("mount the layer in"))?)
    }

    fn unmount(&mut self) -> Result<(), SubjectError> {
        self.call.unmounted(&called(self.count - 1)).map_err(self.failed("unmount the layer in"))
    }

    fn upper(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn lowers(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn layers_below(&self) -> usize {
        self.count - 1
    }

    fn commit(&mut self) -> Result<(), SubjectError> {
        let (id, parent) = (called(self.count), self.count.checked_sub(1).map(called));
        let words: Vec<&str> = ["create", &id].into_iter().chain(parent.as_deref()).collect();
        self.call.done(&words).map_err(self.failed("create a layer in"))?;
        self.count += 1;
        Ok(())
    }

    fn frozen(&self) -> Option<&dyn Frozen> {
        (self.has_tars && self.count > 1).then_some(self)
    }
}

impl Frozen for Layers {
    fn depth(&self) -> usize {
        self.count - 1
    }

    /// A program says no digest: it is that of what it wrote.
    fn tar(&self, number: usize, diff: Diff) -> Result<Tar, SubjectError> {
        let below = number.checked_sub(1);
        let bytes = match diff {
            Diff::Own => {
                let (id, parent) = (called(number), below.map(called));
                let words: Vec<&str> = ["diff", &id].into_iter().chain(parent.as_deref()).collect();
                self.call.done(&words).map_err(self.failed("pack a layer in"))?
            }
            Diff::Walking => {
                let nothing = tempfile::tempdir().map_err(self.failed("pack a layer in"))?;
                let old = below.map(|below| self.shown(below)).transpose()?;
                let new = self.shown(number)?;
                let old = old.as_ref().map_or(nothing.path(), |old| &old.path);
                let found = changes_and_links(old, &new.path, Kinship::Unknown);
                let found = found.map_err(self.failed("compare the layers in"))?;
                let options = PackOptions { overlay: OverlayXattr::None, user_name: &|_| None, group_name: &|_| None };
                let mut bytes = Vec::new();
                pack_changes(&new.path, &found, &options, &mut bytes).map_err(self.failed("pack a layer in"))?;
                bytes
            }
        };
        let diff_id = store::digest(&bytes);
        Ok(Tar { bytes, diff_id })
    }

    fn changes(&self) -> Result<Vec<(char, Text)>, SubjectError> {
        let newest = self.count - 2;
        match newest.checked_sub(1) {
            Some(below) => {
                self.call.changes(&called(newest), &called(below)).map_err(self.failed("compare the layers in"))
            }
            None => elsewhere::all_of(&self.shown(newest)?.path),
        }
    }

    /// While one is mounted others ask about the layer that it lies on. A program mounts layers only to be written to.
    fn used(&self) -> Result<Used, SubjectError> {
        let newest = self.count - 2;
        let read = |path: &Path| {
            let read = Applied { tree: directory(path)?, holds: Vec::new() }.read();
            read.map_err(self.failed("read what is mounted in"))
        };
        let mut shown = self.shown(newest)?;
        let before = read(&shown.path)?;
        drop(self.changes()?);
        drop(self.tar(newest, Diff::Own)?);
        drop(self.shown(newest)?);
        let after = read(&shown.path)?;
        let is_mount = elsewhere::is_mounted(&shown.path);
        shown.unmount()?;
        let is_left_mounted = is_mount && elsewhere::is_mounted(&shown.path);
        Ok(Used { attached: [before, after], is_left_mounted, takes_writing: false })
    }

    fn applied(&self, tar: &Tar) -> Result<Applied, SubjectError> {
        let (id, parent) = (self.passing(), self.count.checked_sub(3).map(called));
        let is_applied =
            self.call.apply(&id, parent.as_deref(), &tar.bytes).map_err(self.failed("apply a layer in"))?;
        if !is_applied {
            return Err(self.failed("apply a layer in")("the driver says that it has no such thing, and had before"));
        }
        let mut shown = Shown { call: Rc::clone(&self.call), ids: vec![id], path: PathBuf::new(), is_mounted: false };
        // It is a layer of an image, which is never written to.
        let on_it = self.passing();
        self.call.done(&["create", &on_it, shown.top()]).map_err(self.failed("look at a layer in"))?;
        shown.ids.push(on_it);
        shown.mount()?;
        shown.applied()
    }

    fn applied_elsewhere(&self, driver: &str, tars: &[Tar], order: Order) -> Result<Applied, SubjectError> {
        elsewhere::applied(driver, tars, order, self.call.place())
    }

    fn elsewhere(&self) -> Vec<&'static str> {
        elsewhere::drivers(self.call.place())
    }
}
