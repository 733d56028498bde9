//! Campaigns over a store of images: what an engine does to layers, done by random acts that a model of images does too.
//!
//! *Why*: a driver can be faultless, and the store above it leak layers, share too much, or name them wrongly. *Holds*: what is on
//! disk is read by this module itself, never asked from the engine. *Never*: a process; what runs in containers is the other laws'
//! affair. *Proved by*: `tests/planted_stores.rs`.

use std::path::Path;

use layerlab_model::images::Images;
use serde::{Deserialize, Serialize};

use crate::subjects::SubjectError;

pub mod archive;
pub mod case;
pub mod counterexample;
mod engine;
pub mod held;
pub mod holdings;
pub mod laws;
mod page;
pub mod said;
pub mod shelf;
mod stumble;

pub use engine::EngineShop;

/// One thing done to a store. Images are counted by their names, in the order in which they came, and round the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Act {
    /// Loads an archive of an image with these layers of the [collection](archive::collection), the lowest first.
    Load {
        /// Numbers of layers.
        layers: Vec<usize>,
    },
    /// Makes a container of an image, gives it a file of this letter, or nothing, and commits it.
    Commit {
        /// Which image.
        image: usize,
        /// What the file holds.
        letter: Option<char>,
    },
    /// Exports a container of an image and imports that as an image of one layer.
    Flatten {
        /// Which image.
        image: usize,
    },
    /// Saves an image and loads it into an empty store.
    Carry {
        /// Which image.
        image: usize,
    },
    /// Takes an image's name away.
    Remove {
        /// Which image.
        image: usize,
    },
    /// Gives an image the name of another, which may have none then.
    Tag {
        /// Which image.
        image: usize,
        /// Whose name it gets.
        over: usize,
    },
    /// Makes a container of an image, which stays.
    Create {
        /// Which image.
        image: usize,
    },
    /// Removes a container, counted as images are.
    RemoveContainer {
        /// Which container.
        container: usize,
    },
    /// Collects garbage: images without a name, or all that no container is of.
    Prune {
        /// Whether those with names too.
        all: bool,
    },
    /// Opens the store anew, as after a restart.
    Reopen,
    /// Has the storage driver fail once in the next act, where it is a single command; it is done again then, after a restart.
    Stumble {
        /// In which of its calls, from 1 on.
        call: usize,
    },
}

impl Act {
    /// Every word of [`Act::word`].
    pub const WORDS: [&'static str; 13] = [
        "load",
        "commit",
        "commit-nothing",
        "flatten",
        "carry",
        "remove-image",
        "tag",
        "create",
        "remove-container",
        "prune",
        "prune-all",
        "reopen",
        "stumble",
    ];

    /// The word for it in counts.
    pub fn word(&self) -> &'static str {
        match self {
            Act::Load { .. } => "load",
            Act::Commit { letter: Some(_), .. } => "commit",
            Act::Commit { letter: None, .. } => "commit-nothing",
            Act::Flatten { .. } => "flatten",
            Act::Carry { .. } => "carry",
            Act::Remove { .. } => "remove-image",
            Act::Tag { .. } => "tag",
            Act::Create { .. } => "create",
            Act::RemoveContainer { .. } => "remove-container",
            Act::Prune { all: false } => "prune",
            Act::Prune { all: true } => "prune-all",
            Act::Reopen => "reopen",
            Act::Stumble { .. } => "stumble",
        }
    }
}

/// In what stores differ for good reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promises {
    /// A layer's directory holds the whole tree, of files of its own; else what it changes, or names of the files below (`vfs` of
    /// moby's `daemon/graphdriver` copies).
    pub layers_are_whole_trees: bool,
    /// The size of a layer is measured, symbolic links too (`ApplyDiff` of moby's `overlay2`); else it is what the headers of its tar
    /// tell of files.
    pub sizes_are_measured: bool,
}

/// A store of images with an engine in front of it.
pub trait Shop {
    /// Where it lies; Docker's layout.
    fn data_root(&self) -> &Path;

    /// Docker's name of the storage driver.
    fn driver(&self) -> &str;

    /// In what it differs from others for good reasons.
    fn promises(&self) -> Promises;

    /// `load`
    fn load(&mut self, archive: &[u8]) -> Result<(), SubjectError>;

    /// `save`
    fn save(&mut self, name: &str) -> Result<Vec<u8>, SubjectError>;

    /// `create`, `cp` of a tar into `/` if there is one, `commit` as `new`, `rm`.
    fn commit(&mut self, name: &str, content: Option<&[u8]>, new: &str) -> Result<(), SubjectError>;

    /// `create`, `export`, `rm`.
    fn export(&mut self, name: &str) -> Result<Vec<u8>, SubjectError>;

    /// `import` as `new`.
    fn import(&mut self, tar: &[u8], new: &str) -> Result<(), SubjectError>;

    /// `rmi`; what went, or nothing where a container is in the way.
    fn remove(&mut self, name: &str) -> Result<Option<Freed>, SubjectError>;

    /// `tag`
    fn tag(&mut self, name: &str, new: &str) -> Result<(), SubjectError>;

    /// `create --name`
    fn create(&mut self, name: &str, container: &str) -> Result<(), SubjectError>;

    /// `rm`
    fn remove_container(&mut self, container: &str) -> Result<(), SubjectError>;

    /// `image prune -f`, or `image prune -af`; what went.
    fn prune(&mut self, all: bool) -> Result<Freed, SubjectError>;

    /// Has the driver fail in its `call`th call from now on, once; or in none any more.
    fn stumble(&mut self, call: Option<usize>);

    /// Whether that call came.
    fn has_stumbled(&self) -> bool;

    /// Ends and begins on the same data root.
    fn reopen(&mut self) -> Result<(), SubjectError>;

    /// Another one, empty, of the same kind.
    fn another(&self) -> Result<Box<dyn Shop>, SubjectError>;
}

/// What an engine says that it removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freed {
    /// Images by their IDs, layers by their chain IDs.
    pub deleted: Vec<String>,
    /// The bytes that this gave back, where it says so.
    pub reclaimed_bytes: Option<u64>,
}

/// What an act did.
pub struct Moment<'a> {
    /// The act.
    pub act: &'a Act,
    /// What the store should hold now.
    pub model: &'a Images,
    /// What is on disk.
    pub shelf: &'a shelf::Shelf,
    /// What the layers should hold.
    pub holdings: &'a holdings::Holdings,
    /// What the store promises.
    pub promises: Promises,
    /// What became of an image that was carried.
    pub carried: Option<Carried>,
    /// What an image that was made of another has.
    pub made: Option<Made>,
    /// What the engine says that it removed; of an act that removes and is refused, nothing.
    pub freed: Option<Freed>,
    /// Whether it should have been refused.
    pub is_refused: bool,
    /// What was on disk, after a restart, when the driver had failed in the midst and it was not done again yet.
    pub stumbled: Option<shelf::Shelf>,
}

/// An image that was made of another.
pub struct Made {
    /// Everything in a container of the other, and of the new one.
    pub trees: [Vec<archive::Content>; 2],
    /// What the file `new` was given; nothing, where none was made.
    pub new: Option<Vec<u8>>,
}

/// What an act did beside what is on disk.
#[derive(Default)]
pub struct Done {
    /// Whether there was an image to do it to.
    pub is_done: bool,
    /// What became of an image that was carried.
    pub carried: Option<Carried>,
    /// What an image that was made of another has.
    pub made: Option<Made>,
    /// What the engine says that it removed.
    pub freed: Option<Freed>,
    /// Whether it should have been refused.
    pub is_refused: bool,
    /// What was on disk, after a restart, when the driver had failed in the midst and it was not done again yet.
    pub stumbled: Option<shelf::Shelf>,
}

/// An image that was saved and loaded elsewhere.
pub struct Carried {
    /// Its ID here.
    pub id: String,
    /// The archive's layers by their digests, the lowest first.
    pub layers: Vec<String>,
    /// Everything in a container of it, here and there.
    pub trees: [Vec<archive::Content>; 2],
    /// What is on disk there.
    pub there: shelf::Shelf,
    /// What came of archives that were forged, there: nothing, where they were refused and left nothing.
    pub of_forged: Vec<String>,
}

/// A kind of store.
pub struct Kind {
    driver: &'static str,
}

/// Every kind: this engine's store with each of its drivers.
pub fn all() -> Vec<Kind> {
    let built_in = layerlab_engine::driver::KNOWN.iter().filter(|known| known.is_built_in());
    built_in.map(|known| Kind { driver: known.name }).collect()
}

impl Kind {
    /// What people call it, for `--subject`.
    pub fn name(&self) -> String {
        format!("store-{}", self.driver)
    }

    /// Why it cannot lie below `place`, if so.
    pub fn refusal_on(&self, place: &Path) -> Option<String> {
        layerlab_engine::driver::refusal(self.driver, place)
    }

    /// An empty one below the empty directory `place`.
    pub fn begin(&self, place: &Path) -> Result<Box<dyn Shop>, SubjectError> {
        Ok(Box::new(EngineShop::open(place, self.driver)?))
    }
}
