//! Subjects with a bug in them: everything that they are asked goes through the bug.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use layerlab_engine::driver::{Deviation, Driver, DriverError, GraphData, View};
use layerlab_engine::image::Digest;
use layerlab_engine::layer::{Change, OverlayXattr, Owners, Packed, UnpackError, Unpacked};
use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Step};
use layerlab_model::promises::Promises;
use layerlab_properties::machine::Host;
use layerlab_properties::perform::Hands;
use layerlab_properties::stores::{self, EngineShop, Freed, Shop};
use layerlab_properties::subjects::drivers::EngineDriver;
use layerlab_properties::subjects::{self, Frozen, Stack, Subject, SubjectError};
use layerlab_properties::tree::Tree;
use rustix::fs::{Mode, OFlags};

use crate::bug::{Bug, Home, Layers, Mounted, Notes, Received};
use crate::tars;

/// A subject with a bug in it, for the cases of one thread.
pub struct Seeded {
    name: String,
    bug: &'static dyn Bug,
    inner: Box<dyn Subject>,
    /// Of the case that was begun last.
    case: Mutex<Shared>,
}

/// What the hands and the layers of one case share.
#[derive(Default)]
struct Case {
    notes: Notes,
    upper: Option<OwnedFd>,
    /// The directories of the lower layers, the lowest first.
    lowers: Vec<OwnedFd>,
}

type Shared = Arc<Mutex<Case>>;

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seeded {
    /// The subject that `bug` is at home in, with it, called `name`; none where that is no subject of the laws on trees.
    pub fn of(name: &str, bug: &'static dyn Bug) -> Option<Seeded> {
        let inner = match bug.home() {
            Home::Mount(name) => subjects::all().into_iter().find(|subject| subject.name() == name)?,
            Home::Driver(name) => Box::new(EngineDriver::decorated(name, Box::new(|inner| seeded(bug, inner)))),
            Home::Store(_) => return None,
        };
        Some(Seeded::around(name, bug, inner))
    }

    /// Whoever does the steps with the bug, before `inner`; they are of the case that was begun last.
    pub fn before(&self, inner: Box<dyn Hands>) -> Box<dyn Hands> {
        Box::new(SeededHands { bug: self.bug, inner, case: locked(&self.case).clone() })
    }

    /// `inner` with `bug` in it, called `name`.
    pub fn around(name: &str, bug: &'static dyn Bug, inner: Box<dyn Subject>) -> Seeded {
        Seeded { name: name.to_owned(), bug, inner, case: Mutex::default() }
    }
}

/// A store of images on the driver `name`, below the directory `place`, with `bug` in both.
pub fn shop(bug: &'static dyn Bug, name: &'static str, place: &Path) -> Result<Box<dyn Shop>, SubjectError> {
    let inner = EngineShop::decorated(place, name, Arc::new(|inner| seeded(bug, inner)))?;
    Ok(Box::new(SeededShop { bug, inner: Box::new(inner) }))
}

/// `inner` with `bug` in it.
pub fn seeded(bug: &'static dyn Bug, inner: Box<dyn Driver>) -> Box<dyn Driver> {
    Box::new(SeededDriver { bug, inner, notes: Mutex::default() })
}

impl Subject for Seeded {
    fn name(&self) -> String {
        format!("{} with {}", self.inner.name(), self.name)
    }

    fn promises(&self, host: &Host) -> Promises {
        self.inner.promises(host)
    }

    fn refusal(&self, host: &Host) -> Option<String> {
        self.inner.refusal(host)
    }

    fn refusal_on(&self, place: &Path) -> Option<String> {
        self.inner.refusal_on(place)
    }

    fn hands(&self) -> Box<dyn Hands> {
        self.before(self.inner.hands())
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        let case = Shared::default();
        *locked(&self.case) = case.clone();
        let inner = self.bug.begin(&*self.inner, place)?;
        Ok(Box::new(SeededStack { bug: self.bug, inner, place: place.to_owned(), case }))
    }
}

struct SeededHands {
    bug: &'static dyn Bug,
    inner: Box<dyn Hands>,
    case: Shared,
}

impl Hands for SeededHands {
    fn step(&mut self, step: &Step) -> Result<Answer, Errno> {
        let Case { notes, upper, lowers } = &mut *locked(&self.case);
        let upper = upper.as_ref().map(AsFd::as_fd);
        self.bug.step(step, &mut Mounted { hands: &mut *self.inner, upper, lowers, notes })
    }

    fn close_all(&mut self) {
        self.inner.close_all();
    }

    fn look(&self, tree: Tree) -> Tree {
        let mut tree = self.inner.look(tree);
        self.bug.look(&mut tree, &locked(&self.case).notes);
        tree
    }
}

struct SeededStack {
    bug: &'static dyn Bug,
    inner: Box<dyn Stack>,
    place: PathBuf,
    case: Shared,
}

impl SeededStack {
    fn layers(&self, act: impl FnOnce(&mut Layers<'_>) -> io::Result<()>) -> Result<(), SubjectError> {
        let mut case = locked(&self.case);
        act(&mut Layers { stack: &*self.inner, notes: &mut case.notes })
            .map_err(SubjectError::of("seed a bug in", &self.place))
    }
}

impl Stack for SeededStack {
    fn mount(&mut self) -> Result<OwnedFd, SubjectError> {
        let upper = self.inner.upper().map(|upper| upper.try_clone_to_owned()).transpose();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |path: &PathBuf| rustix::fs::open(path, flags, Mode::empty());
        let lowers = self.inner.lowers().iter().map(open).collect::<Result<_, _>>();
        {
            let mut case = locked(&self.case);
            case.upper = upper.map_err(SubjectError::of("hold the upper layer of", &self.place))?;
            case.lowers = lowers.map_err(SubjectError::of("hold the lower layers of", &self.place))?;
        }
        self.bug.mount(&mut *self.inner)
    }

    fn unmount(&mut self) -> Result<(), SubjectError> {
        self.inner.unmount()?;
        self.layers(|layers| self.bug.unmounted(layers))
    }

    fn upper(&self) -> Option<BorrowedFd<'_>> {
        self.inner.upper()
    }

    fn work(&self) -> Option<PathBuf> {
        self.inner.work()
    }

    fn lowers(&self) -> Vec<PathBuf> {
        self.inner.lowers()
    }

    fn commit(&mut self) -> Result<(), SubjectError> {
        self.layers(|layers| self.bug.committed(layers))?;
        self.inner.commit()
    }

    fn frozen(&self) -> Option<&dyn Frozen> {
        self.inner.frozen()
    }
}

struct SeededDriver {
    bug: &'static dyn Bug,
    inner: Box<dyn Driver>,
    notes: Mutex<Notes>,
}

impl Driver for SeededDriver {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn layers_max(&self) -> usize {
        self.inner.layers_max()
    }

    fn deviations(&self) -> &'static [Deviation] {
        self.inner.deviations()
    }

    fn info(&self) -> Vec<(&'static str, String)> {
        self.inner.info()
    }

    fn create(&self, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        self.bug.create(&*self.inner, id, parent)
    }

    fn adopt(&self, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        self.bug.adopt(&*self.inner, id, parent, content)
    }

    fn unpack(
        &self,
        tar: &mut dyn io::Read,
        content: &Path,
        owners: Owners,
        record: &mut dyn io::Write,
    ) -> Result<Unpacked, UnpackError> {
        let failed = |source| UnpackError::Io { operation: "seed a bug in", path: content.into(), source };
        let driver = &*self.inner;
        let mut right = Vec::new();
        if let Err(error) = tar.read_to_end(&mut right) {
            let tar = &mut right.as_slice().chain(BrokenOff(Some(error)));
            return self.bug.unpack(&mut Received { driver, tar, content, owners, record });
        }
        let bytes = tars::changed(right.clone(), |entries| self.bug.received(entries)).map_err(failed)?;
        if bytes == right {
            let tar = &mut &right[..];
            return self.bug.unpack(&mut Received { driver, tar, content, owners, record });
        }
        // What is noted of it is right.
        let aside = tempfile::tempdir_in(content.parent().unwrap_or(content)).map_err(failed)?;
        self.inner.unpack(&mut &right[..], aside.path(), owners, record)?;
        self.inner.unpack(&mut &bytes[..], content, owners, &mut io::sink())
    }

    fn marks(&self) -> OverlayXattr {
        self.inner.marks()
    }

    fn attach(&self, id: &str) -> Result<PathBuf, DriverError> {
        self.bug.attach(&*self.inner, id, &mut locked(&self.notes))
    }

    fn attached_at(&self, id: &str) -> PathBuf {
        self.inner.attached_at(id)
    }

    fn detach(&self, id: &str) -> Result<(), DriverError> {
        self.bug.detach(&*self.inner, id, &mut locked(&self.notes))
    }

    fn view(&self, id: &str) -> Result<View, DriverError> {
        self.bug.view(&*self.inner, id)
    }

    fn edit(&self, id: &str) -> Result<View, DriverError> {
        self.inner.edit(id)
    }

    fn changes(&self, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        self.bug.changes(&*self.inner, id, parent)
    }

    fn pack(&self, id: &str, parent: Option<&str>, out: &mut dyn io::Write) -> Result<Packed, DriverError> {
        let mut right = Vec::new();
        let packed = self.bug.pack(&*self.inner, id, parent, &mut right)?;
        let failed = |source| DriverError::Io { operation: "seed a bug in the tar of", path: id.into(), source };
        let bytes = tars::changed(right, |entries| self.bug.packed(entries)).map_err(failed)?;
        out.write_all(&bytes).map_err(failed)?;
        Ok(Packed { diff_id: Digest::of(&bytes), tar_size_bytes: bytes.len() as u64, ..packed })
    }

    fn own_files(&self, id: &str) -> PathBuf {
        self.inner.own_files(id)
    }

    fn own_size_bytes(&self, id: &str) -> Result<u64, DriverError> {
        self.inner.own_size_bytes(id)
    }

    fn size_bytes(&self, unpacked: &Unpacked) -> u64 {
        self.inner.size_bytes(unpacked)
    }

    fn remove(&self, id: &str) -> Result<(), DriverError> {
        self.bug.remove(&*self.inner, id)
    }

    fn all(&self) -> Result<Vec<String>, DriverError> {
        self.inner.all()
    }

    fn graph(&self, id: &str) -> Result<GraphData, DriverError> {
        self.inner.graph(id)
    }
}

/// What is left to be read of a tar that broke off: an error.
struct BrokenOff(Option<io::Error>);

impl Read for BrokenOff {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

struct SeededShop {
    bug: &'static dyn Bug,
    inner: Box<dyn Shop>,
}

impl Shop for SeededShop {
    fn data_root(&self) -> &Path {
        self.inner.data_root()
    }

    fn driver(&self) -> &str {
        self.inner.driver()
    }

    fn promises(&self) -> stores::Promises {
        self.inner.promises()
    }

    fn load(&mut self, archive: &[u8]) -> Result<(), SubjectError> {
        self.bug.load(&mut *self.inner, archive)
    }

    fn save(&mut self, name: &str) -> Result<Vec<u8>, SubjectError> {
        self.bug.save(&mut *self.inner, name)
    }

    fn commit(&mut self, name: &str, content: Option<&[u8]>, new: &str) -> Result<(), SubjectError> {
        self.bug.commit(&mut *self.inner, name, content, new)
    }

    fn export(&mut self, name: &str) -> Result<Vec<u8>, SubjectError> {
        self.inner.export(name)
    }

    fn import(&mut self, tar: &[u8], new: &str) -> Result<(), SubjectError> {
        self.inner.import(tar, new)
    }

    fn remove(&mut self, name: &str) -> Result<Option<Freed>, SubjectError> {
        self.bug.remove_image(&mut *self.inner, name)
    }

    fn tag(&mut self, name: &str, new: &str) -> Result<(), SubjectError> {
        self.inner.tag(name, new)
    }

    fn create(&mut self, name: &str, container: &str) -> Result<(), SubjectError> {
        self.inner.create(name, container)
    }

    fn remove_container(&mut self, container: &str) -> Result<(), SubjectError> {
        self.inner.remove_container(container)
    }

    fn prune(&mut self, all: bool) -> Result<Freed, SubjectError> {
        self.bug.prune(&mut *self.inner, all)
    }

    fn stumble(&mut self, call: Option<usize>) {
        self.inner.stumble(call);
    }

    fn has_stumbled(&self) -> bool {
        self.inner.has_stumbled()
    }

    fn reopen(&mut self) -> Result<(), SubjectError> {
        self.bug.reopen(&mut *self.inner)
    }

    fn another(&self) -> Result<Box<dyn Shop>, SubjectError> {
        Ok(Box::new(SeededShop { bug: self.bug, inner: self.inner.another()? }))
    }
}
