//! Layers as they are received: tars that no packer of ours makes, unpacked by a driver, against the model.
//!
//! *Why*: what comes from a registry has its entries in any order, lacks parents, repeats names in other spellings, and may mean harm; what
//! our own packers write never does. *Holds*: a case is a few layers of a few entries, so that what breaks a law is read at once. *Never*: a
//! name that leads to anything but a canary. *Proved by*: `tests/received.rs`, and the seeded bugs of unpacking.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use layerlab_engine::driver::{Deviation, Driver};
use layerlab_engine::layer::Owners;
use layerlab_model::inode::Time;
use layerlab_model::received::{Entry, Kind, Refusal, Tree, Unnamed};
use layerlab_model::text::Text;
use rustix::fs::{Mode, OFlags};

use crate::campaign::{Broken, Counts};
use crate::laws::{Judged, Verdict};
use crate::place;
use crate::shrink::shortest;
use crate::subjects::SubjectError;
use crate::tree;

mod draw;
mod judge;
mod write;

use judge::LAWS;

pub use draw::drawn;
pub use write::Form;

/// Every law, by name.
pub fn laws() -> Vec<&'static str> {
    LAWS.iter().map(|(name, _)| *name).collect()
}

/// One thing in a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// An entry of the layer.
    Entry(Entry),
    /// The layer ends, in this form, and another begins on it.
    End(Form),
}

/// Opens an empty driver below a directory.
pub type Open<'a> = dyn Fn(&Path) -> Result<Box<dyn Driver>, SubjectError> + Sync + 'a;

/// What is held against the laws.
pub struct Campaign<'a> {
    /// The driver.
    pub open: &'a Open<'a>,
    /// Names of laws; those that are not named do not watch.
    pub laws: &'a [&'static str],
    /// The directory below which layers lie.
    pub place: PathBuf,
}

/// A case that broke a law.
#[derive(Debug)]
pub struct Failure {
    /// What it was drawn from.
    pub seed: u64,
    /// The shortest part of it that breaks the same law.
    pub parts: Vec<Part>,
    /// What came of that.
    pub broken: Broken,
}

impl Campaign<'_> {
    /// Draws the case of `seed` and runs it; one that breaks a law is made short.
    pub fn run(&self, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
        self.find(seed, counts).map_err(|failure| self.shrunk(failure))
    }

    /// Draws the case of `seed` and runs it; one that breaks a law stays as it was drawn.
    pub fn find(&self, seed: u64, counts: &mut Counts) -> Result<(), Failure> {
        let parts = drawn(seed);
        self.replay(&parts, counts).map_err(|broken| Failure { seed, parts, broken })
    }

    /// The shortest part of a failure that breaks the same law.
    pub fn shrunk(&self, failure: Failure) -> Failure {
        let Failure { parts, broken, .. } = failure;
        let law = broken.law;
        let fails = |part: &[Part]| self.replay(part, &mut Counts::default()).is_err_and(|broken| broken.law == law);
        let parts = shortest(&parts, fails);
        let broken = self.replay(&parts, &mut Counts::default()).err().unwrap_or(broken);
        Failure { parts, broken, ..failure }
    }

    /// Runs a case that is known.
    pub fn replay(&self, parts: &[Part], counts: &mut Counts) -> Result<(), Broken> {
        let place = place::made(&self.place, true).map_err(cannot)?;
        let canary = Canary::put(place.path()).map_err(cannot)?;
        let store = place.path().join("store");
        fs::create_dir(&store).map_err(cannot)?;
        let mut case = Case { driver: (self.open)(&store).map_err(cannot)?, place: place.path(), layers: Vec::new() };
        let stay = case.driver.deviations().contains(&Deviation::UnnamedDirectoriesStay);
        let unnamed = if stay { Unnamed::Stay } else { Unnamed::New };
        let mut tree = Tree::default();
        for (entries, form) in layers(parts) {
            let entries: Vec<Entry> = entries.iter().map(|entry| canary.named_in(entry)).collect();
            let tar = write::tar(&entries, form).map_err(cannot)?;
            let before = Belongings::read(place.path()).map_err(cannot)?;
            let received = case.receive(&tar);
            let left = Belongings::read(place.path()).map_err(cannot)?.beside(&before, received.is_err());
            let expected = tree.with(&entries, unnamed);
            let moment = judge::Moment {
                case: &case,
                entries: &entries,
                tar: &tar,
                expected: &expected,
                received: &received,
                left: &left,
                canary: &canary,
            };
            for (law, judge) in LAWS.iter().filter(|(law, _)| self.laws.contains(law)) {
                let judged = judge(&moment).map_err(|findings| Broken::by(Some(law), findings))?;
                counts.judge(law, judged);
            }
            counts.count("layer", if expected.is_ok() { "unpacked" } else { "refused" });
            let Ok(next) = expected else { break };
            tree = next;
        }
        Ok(())
    }
}

fn cannot(error: impl std::fmt::Display) -> Broken {
    Broken::by(None, vec![error.to_string()])
}

/// The layers of a case; the last need not be ended.
fn layers(parts: &[Part]) -> Vec<(Vec<Entry>, Form)> {
    let mut layers = vec![(Vec::new(), Form::default())];
    for part in parts {
        match (part, layers.last_mut()) {
            (Part::Entry(entry), Some((entries, _))) => entries.push(entry.clone()),
            (Part::End(form), Some((_, of_layer))) => {
                *of_layer = *form;
                layers.push((Vec::new(), Form::default()));
            }
            (_, None) => {}
        }
    }
    if layers.len() > 1 && layers.last().is_some_and(|(entries, _)| entries.is_empty()) {
        layers.pop();
    }
    layers
}

/// What of a case lies on disk, and what this process has open of it.
struct Belongings {
    names: BTreeSet<PathBuf>,
    open: Vec<PathBuf>,
}

impl Belongings {
    fn read(place: &Path) -> io::Result<Belongings> {
        let mut open = Vec::new();
        for descriptor in fs::read_dir("/proc/self/fd")? {
            // Another thread may have closed it.
            open.extend(fs::read_link(descriptor?.path()).ok().filter(|path| path.starts_with(place)));
        }
        open.sort();
        let (mut names, mut left) = (BTreeSet::new(), vec![place.to_owned()]);
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    left.push(entry.path());
                }
                names.insert(entry.path());
            }
        }
        Ok(Belongings { names, open })
    }

    /// What is here and was not `before`: what is open, and names where nothing was to come.
    fn beside(&self, before: &Belongings, is_refused: bool) -> Vec<String> {
        let names = self
            .names
            .difference(&before.names)
            .filter(|_| is_refused)
            .map(|path| format!("{} is left", path.display()));
        let mut known = before.open.clone();
        let is_new = |path: &&PathBuf| match known.iter().position(|other| other == *path) {
            Some(at) => {
                known.remove(at);
                false
            }
            None => true,
        };
        let open = self.open.iter().filter(is_new).map(|path| format!("{} is left open", path.display()));
        names.chain(open.collect::<Vec<_>>()).collect()
    }
}

/// Something beside the store that no layer may touch.
struct Canary {
    place: PathBuf,
    before: tree::Tree,
}

/// What stands in drawn paths for the canary's.
const CANARY: &[u8] = b"/CANARY";

impl Canary {
    fn put(place: &Path) -> io::Result<Canary> {
        let place = place.join("canary");
        fs::create_dir(&place)?;
        fs::write(place.join("file"), "untouched")?;
        fs::create_dir(place.join("directory"))?;
        let before = Canary::read(&place)?;
        Ok(Canary { place, before })
    }

    fn read(place: &Path) -> io::Result<tree::Tree> {
        let directory = rustix::fs::open(place, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(tree::of_disk(&directory)?)
    }

    /// The entry with the canary's path in the place of [`CANARY`].
    fn named_in(&self, entry: &Entry) -> Entry {
        let ours = self.place.as_os_str().as_bytes();
        let named = |text: &Text| match text.0.windows(CANARY.len()).position(|part| part == CANARY) {
            Some(at) => Text([&text.0[..at], ours, &text.0[at + CANARY.len()..]].concat()),
            None => text.clone(),
        };
        let kind = match &entry.kind {
            Kind::Symlink(target) => Kind::Symlink(named(target)),
            Kind::Link(target) => Kind::Link(named(target)),
            other => other.clone(),
        };
        Entry { name: named(&entry.name), kind, meta: entry.meta.clone() }
    }
}

/// The layers of one case, in a driver.
struct Case<'a> {
    driver: Box<dyn Driver>,
    place: &'a Path,
    layers: Vec<String>,
}

/// A layer that was unpacked and lies on those before.
struct Received {
    /// How its tar was made.
    record: Vec<u8>,
}

impl Case<'_> {
    fn receive(&mut self, tar: &[u8]) -> Result<Received, String> {
        let content = tempfile::tempdir_in(self.place).map_err(|error| error.to_string())?;
        // A layer's root, unless its tar says otherwise (`store/staging.rs`).
        fs::set_permissions(content.path(), fs::Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
        let mut record = Vec::new();
        let unpacked = self.driver.unpack(&mut &tar[..], content.path(), Owners::AsRecorded, &mut record);
        unpacked.map_err(|error| error.to_string())?;
        let id = format!("{:064x}", self.layers.len() + 1);
        let below = self.layers.last().map(String::as_str);
        self.driver.adopt(&id, below, content.path()).map_err(|error| error.to_string())?;
        self.layers.push(id);
        Ok(Received { record })
    }
}

/// A time of the model's as [`tree`] has it.
fn when(time: Time) -> tree::When {
    tree::When::Time(time)
}

/// What a refusal is about, in words.
fn word(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Escapes => "a name leads out of the layer",
        Refusal::RootIsNoDirectory => "its root is no directory",
        Refusal::NamelessWhiteout => "a whiteout names nothing",
        Refusal::LinkToNothing => "a link leads to nothing in the layer",
        Refusal::NoDirectory => "on the way to an entry there is something that is no directory",
        Refusal::Twice => "two entries have one name",
        Refusal::DirectoryIsElsewhere => "a link has come into the way to a directory of the layer",
    }
}

/// Nothing to judge.
const NOT_ASKED: Verdict = Ok(Judged::NotAsked);
