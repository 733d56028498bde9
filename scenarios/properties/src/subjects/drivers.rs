//! This engine's own storage drivers, in process.

use std::cell::Cell;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::OnceLock;

use layerlab_engine::driver::{self, DOCKERS_LAYERS_MAX, Deviation, Driver, KNOWN, View, fuse_overlayfs};
use layerlab_engine::layer::{Files, Kinship, PackOptions, changes_and_links, copy_tree, pack_changes};
use layerlab_model::promises::Promises;
use layerlab_model::text::Text;
use rustix::fs::{Mode, OFlags};
use rustix::mount::UnmountFlags;

use super::{Applied, Diff, Frozen, Order, Stack, Subject, SubjectError, Tar, Used, elsewhere};
use crate::machine::Host;
use crate::tree::Tree;

/// A driver by Docker's name.
pub struct EngineDriver {
    name: &'static str,
    layers_max: OnceLock<usize>,
    decorate: Box<Decorate>,
}

/// What is put round a driver: nothing, or what makes another one of it.
pub type Decorate = dyn Fn(Box<dyn Driver>) -> Box<dyn Driver> + Send + Sync;

/// Every driver that the engine can open.
pub fn all() -> impl Iterator<Item = EngineDriver> {
    KNOWN
        .iter()
        .filter(|known| known.is_built_in())
        .map(|known| EngineDriver::decorated(known.name, Box::new(|driver| driver)))
}

impl EngineDriver {
    /// The driver of that name, with something round it.
    pub fn decorated(name: &'static str, decorate: Box<Decorate>) -> EngineDriver {
        EngineDriver { name, layers_max: OnceLock::new(), decorate }
    }

    /// The greatest depth that the driver itself names; it is asked once. Where it cannot be opened no case begins.
    fn layers_max(&self) -> usize {
        *self.layers_max.get_or_init(|| {
            let asked = tempfile::tempdir().ok().and_then(|place| driver::open(Some(self.name), place.path()).ok());
            asked.map_or(DOCKERS_LAYERS_MAX, |driver| driver.layers_max())
        })
    }
}

impl Subject for EngineDriver {
    fn name(&self) -> String {
        format!("layerlab-{}", self.name)
    }

    fn promises(&self, host: &Host) -> Promises {
        let deviates = |in_what| KNOWN.iter().any(|known| known.name == self.name && known.deviates(in_what));
        let (is_copy, is_legacy) = (deviates(Deviation::MountsNothing), self.name == "overlay");
        let is_program = self.name == fuse_overlayfs::NAME;
        let is_overlayfs = !is_copy && !is_program;
        Promises {
            layers: !is_copy,
            layers_max: if is_legacy { 1 } else { usize::MAX },
            lower_layers_max: host.promises().lower_layers_max.min(self.layers_max()),
            root_is_inherited: is_copy || is_legacy,
            root_owner_is_inherited: !is_legacy,
            copies_can_be_linked: is_copy || is_overlayfs && host.promises().first_namespace,
            inode_numbers_survive_a_remount: is_copy || is_overlayfs && host.promises().first_namespace,
            refused_xattrs_copy_up: !is_copy,
            refused_renames_prepare: is_overlayfs,
            missing_acls_are_missed_below: is_overlayfs,
            // The lowest layer is no overlay mount.
            whiteouts_are_refused: false,
            removed_directories_stay_removed: is_copy,
            further_names_are_listed_with_their_inode: is_copy,
            diffs_see_everything: !deviates(Deviation::DirectoryTimesUnseen),
            replaced_directories_are_told: !deviates(Deviation::EqualDirectoriesUnseen),
            name_bytes_max: if is_program { 251 } else { 255 },
            directories_keep_their_time: !is_program,
            clock_times_are_kept: !is_program,
            whiteout_names_are_names: !is_program,
            names_of_one_file_can_lie_below: !is_program,
            copies_are_whole: !is_program,
            set_id_bits_are_kept: !is_program,
            mappings_leave_capabilities: !is_program,
            numbers_of_names_are_counted: !is_program,
            copies_can_be_linked_later: !is_program,
            links_have_xattrs: !is_program,
            devices_open: !is_program,
            removed_files_can_be_changed: !is_program,
            names_are_exchanged: !is_program,
            replacing_directories_move: !is_program,
            files_have_holes: !is_program,
            files_open_unnamed: host.promises().files_open_unnamed && !is_program,
            lists_are_kept: !is_program,
            crowds_are_kept: !is_program,
            ..host.promises()
        }
    }

    fn refusal(&self, _host: &Host) -> Option<String> {
        None
    }

    fn refusal_on(&self, place: &Path) -> Option<String> {
        driver::refusal(self.name, place)
    }

    fn mount_options(&self) -> Option<String> {
        matches!(self.name, "overlay2" | "overlay")
            .then(|| "metacopy=off,redirect_dir=follow,index=off,nfs_export=off,xino=off".to_owned())
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        let driver = driver::open(Some(self.name), place).map_err(SubjectError::of("open driver on", place))?;
        let mut stack = Layers {
            driver: (self.decorate)(driver).into(),
            place: place.to_owned(),
            ids: Vec::new(),
            upper: None,
            view: None,
            passed: Cell::new(0),
            lowers_max: if self.name == "overlay" { 1 } else { usize::MAX },
        };
        stack.commit()?;
        Ok(Box::new(stack))
    }
}

struct Layers {
    driver: Rc<dyn Driver>,
    place: PathBuf,
    ids: Vec<String>,
    upper: Option<OwnedFd>,
    view: Option<View>,
    /// How many layers were made to be looked at.
    passed: Cell<usize>,
    /// How many layers lie below the upper one at most.
    lowers_max: usize,
}

impl Layers {
    /// For `map_err`.
    fn failed<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        operation: &'static str,
    ) -> impl FnOnce(E) -> SubjectError {
        SubjectError::of(operation, &self.place)
    }

    fn directory(&self, path: &Path) -> Result<OwnedFd, SubjectError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(path, flags, Mode::empty()).map_err(SubjectError::of("open", path))
    }

    fn top(&self) -> &str {
        self.ids.last().map_or("", String::as_str)
    }

    /// A layer for as long as somebody looks at it: one that shares its files with another adds to their names.
    fn passing(&self) -> Passing {
        let number = self.passed.replace(self.passed.get() + 1);
        Passing { id: format!("{:064x}", PASSING + number), driver: Rc::clone(&self.driver) }
    }

    /// A layer of an image that shows what layer `number` does, where that can have none on it, since it was written to in a place of its own.
    fn image_of(&self, number: usize) -> Result<Option<Passing>, SubjectError> {
        if number < self.lowers_max {
            return Ok(None);
        }
        let content = tempfile::tempdir_in(&self.place).map_err(self.failed("copy a layer in"))?;
        let view = self.driver.view(&self.ids[number]).map_err(self.failed("copy a layer in"))?;
        copy_tree(view.path(), content.path(), Files::Copied, self.driver.marks())
            .map_err(self.failed("copy a layer in"))?;
        let image = self.passing();
        self.driver.adopt(&image.id, None, content.path()).map_err(self.failed("adopt a layer in"))?;
        Ok(Some(image))
    }
}

/// A layer that is removed when nobody looks at it any more.
struct Passing {
    id: String,
    driver: Rc<dyn Driver>,
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(error) = self.driver.remove(&self.id) {
            eprintln!("layerlab-laws: cannot remove a layer that was looked at: {error}");
        }
    }
}

/// Where a layer is attached; whatever is mounted there goes with the value.
struct Attached(PathBuf);

impl Attached {
    fn read(&self) -> Result<Tree, SubjectError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&self.0, flags, Mode::empty());
        let read = opened.and_then(|tree| Applied { tree, holds: Vec::new() }.read());
        read.map_err(SubjectError::of("read what is attached at", &self.0))
    }

    fn is_mounted(&self) -> bool {
        elsewhere::is_mounted(&self.0)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        while self.is_mounted() && rustix::mount::unmount(&self.0, UnmountFlags::DETACH).is_ok() {}
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

    fn work(&self) -> Option<PathBuf> {
        // The lowest layer is no mount, and a program has a scratch directory of its own.
        let graph = self.driver.graph(self.top()).ok().filter(|_| self.ids.len() > 1 && self.upper.is_some())?;
        graph.data.into_iter().find(|(key, _)| key == "WorkDir").map(|(_, path)| PathBuf::from(path))
    }

    fn lowers(&self) -> Vec<PathBuf> {
        let (_, lowers) = self.ids.split_last().unwrap_or((&self.ids[0], &[]));
        lowers.iter().take(self.lowers_max).map(|id| self.driver.own_files(id)).collect()
    }

    fn commit(&mut self) -> Result<(), SubjectError> {
        let id = format!("{:064x}", self.ids.len() + 1);
        let parent = self.ids.last().map(String::as_str);
        self.driver.create(&id, parent).map_err(SubjectError::of("create a layer in", &self.place))?;
        let graph = self.driver.graph(&id).map_err(SubjectError::of("look for the upper directory in", &self.place))?;
        // What a program notes in the upper directory is its own affair.
        let is_overlayfs = self.driver.name() != fuse_overlayfs::NAME;
        let upper =
            graph.data.iter().find(|(key, _)| is_overlayfs && key == "UpperDir").map(|(_, path)| PathBuf::from(path));
        self.upper = upper.map(|path| self.directory(&path)).transpose()?;
        self.ids.push(id);
        Ok(())
    }

    fn frozen(&self) -> Option<&dyn Frozen> {
        (self.ids.len() > 1).then_some(self)
    }
}

impl Frozen for Layers {
    fn depth(&self) -> usize {
        self.ids.len() - 1
    }

    fn tar(&self, number: usize, diff: Diff) -> Result<Tar, SubjectError> {
        let (id, below) = (&self.ids[number], number.checked_sub(1).map(|below| self.ids[below].as_str()));
        let mut bytes = Vec::new();
        let packed = match diff {
            Diff::Own => self.driver.pack(id, below, &mut bytes).map_err(self.failed("pack a layer in"))?,
            Diff::Walking => {
                let nothing = tempfile::tempdir_in(&self.place).map_err(self.failed("pack a layer in"))?;
                let old =
                    below.map(|below| self.driver.view(below)).transpose().map_err(self.failed("pack a layer in"))?;
                let new = self.driver.view(id).map_err(self.failed("pack a layer in"))?;
                let old = old.as_ref().map_or(nothing.path(), |old| old.path());
                let found =
                    changes_and_links(old, new.path(), Kinship::Unknown).map_err(self.failed("pack a layer in"))?;
                let options = PackOptions { overlay: self.driver.marks(), user_name: &|_| None, group_name: &|_| None };
                pack_changes(new.path(), &found, &options, &mut bytes).map_err(self.failed("pack a layer in"))?
            }
        };
        Ok(Tar { bytes, diff_id: packed.diff_id.to_string() })
    }

    fn changes(&self) -> Result<Vec<(char, Text)>, SubjectError> {
        let number = self.depth() - 1;
        let found = match number.checked_sub(1) {
            Some(below) => self
                .driver
                .changes(&self.ids[number], &self.ids[below])
                .map_err(self.failed("compare the layers in"))?,
            None => {
                let view = self.driver.view(&self.ids[number]).map_err(self.failed("compare the layers in"))?;
                return elsewhere::all_of(view.path());
            }
        };
        Ok(found.iter().map(|change| (change.kind.letter(), Text::from(change.path.as_os_str().as_bytes()))).collect())
    }

    fn used(&self) -> Result<Used, SubjectError> {
        let newest = self.depth() - 1;
        let image = self.image_of(newest)?;
        let below = image.as_ref().map_or(&self.ids[newest], |image| &image.id);
        let layer = self.passing();
        let (driver, id) = (&self.driver, layer.id.as_str());
        driver.create(id, Some(below)).map_err(self.failed("create a layer in"))?;
        let takes_writing = !driver.deviates(Deviation::MountsNothing) && {
            let view = driver.view(id).map_err(self.failed("look at a layer in"))?;
            std::fs::create_dir(view.path().join("written")).is_ok()
        };
        let path = driver.attach(id).map_err(self.failed("attach a layer in"))?;
        let attached = Attached(path);
        let before = attached.read()?;
        driver.changes(id, below).map_err(self.failed("compare an attached layer in"))?;
        driver.pack(id, Some(below), &mut std::io::sink()).map_err(self.failed("pack an attached layer in"))?;
        driver.own_size_bytes(id).map_err(self.failed("measure an attached layer in"))?;
        drop(driver.view(id).map_err(self.failed("look at an attached layer in"))?);
        let after = attached.read()?;
        driver.detach(id).map_err(self.failed("detach a layer in"))?;
        Ok(Used { attached: [before, after], is_left_mounted: attached.is_mounted(), takes_writing })
    }

    fn applied(&self, tar: &Tar) -> Result<Applied, SubjectError> {
        let content = elsewhere::unpacked(tar, &*self.driver, &self.place)?;
        let below = self.depth().checked_sub(2);
        let image = below.map(|below| self.image_of(below)).transpose()?.flatten();
        let below = image.as_ref().map(|image| &image.id).or_else(|| below.map(|below| &self.ids[below]));
        let layer = self.passing();
        self.driver
            .adopt(&layer.id, below.map(String::as_str), content.path())
            .map_err(self.failed("adopt a layer in"))?;
        let view = self.driver.view(&layer.id).map_err(self.failed("look at an adopted layer in"))?;
        Ok(Applied { tree: self.directory(view.path())?, holds: vec![Box::new(view), Box::new(layer)] })
    }

    fn applied_elsewhere(&self, driver: &str, tars: &[Tar], order: Order) -> Result<Applied, SubjectError> {
        elsewhere::applied(driver, tars, order, &self.place)
    }

    fn elsewhere(&self) -> Vec<&'static str> {
        elsewhere::drivers(&self.place)
    }
}

/// Layers that are made to be looked at are numbered from here.
const PASSING: usize = 1 << 20;
