//! What is held against the laws: anything that stacks layers into one tree.
//!
//! *Why*: a law knows trees, not drivers. *Holds*: a stack lies wholly below the directory it was begun in and is gone
//! with it. *Never*: a law asks a subject's name; it asks what the subject promises. *Proved by*: the plain directory, on
//! which the laws are Linux's own.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use layerlab_model::promises::Promises;
use layerlab_model::text::Text;
use rustix::io::Errno;

use crate::machine::Host;
use crate::perform::{Hands, Performer};
use crate::tree::{self, Tree};

pub use program::{Program, ProgramError};

mod carry;
mod data_only;
pub mod drivers;
mod elsewhere;
mod overlay;
mod plain;
pub mod program;

/// What a subject could not do, on which path.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct SubjectError {
    operation: &'static str,
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl SubjectError {
    /// For `map_err`.
    pub fn of<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> SubjectError {
        let path = path.to_owned();
        move |source| SubjectError { operation, path, source: source.into() }
    }

    /// Whether a driver program gave no answer, so that to try once more would take as long.
    pub fn is_silence(&self) -> bool {
        self.source.downcast_ref::<ProgramError>().is_some_and(ProgramError::is_silence)
    }
}

/// A way to stack layers.
pub trait Subject: Send + Sync {
    /// What people call it, for `--subject`.
    fn name(&self) -> String;

    /// What it promises on this machine.
    fn promises(&self, host: &Host) -> Promises;

    /// Why this machine cannot run it, if so.
    fn refusal(&self, host: &Host) -> Option<String>;

    /// Why it cannot lie below the directory `place`, if so. It is tried, not guessed.
    fn refusal_on(&self, _place: &Path) -> Option<String> {
        None
    }

    /// The options with which the kernel's own overlayfs, mounted by hand, does the same; none where it is no overlayfs.
    fn mount_options(&self) -> Option<String> {
        None
    }

    /// The program that is asked for its layers, where it is one, and of which kind it is told to be.
    fn program(&self) -> Option<(&Path, Option<&str>)> {
        None
    }

    /// Who does the steps in its merged tree.
    fn hands(&self) -> Box<dyn Hands> {
        Box::new(Performer::default())
    }

    /// Begins a stack of one empty layer below the empty directory `place`.
    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError>;
}

impl fmt::Debug for dyn Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name())
    }
}

/// Layers of a subject, of which the topmost is written to. Paths are those outside of the merged tree.
pub trait Stack {
    /// Mounts, and gives the root of the merged tree. Everything that it gave before is closed.
    fn mount(&mut self) -> Result<OwnedFd, SubjectError>;

    /// Unmounts; the merged tree is not in use any more.
    fn unmount(&mut self) -> Result<(), SubjectError>;

    /// The directory in which the upper layer lies as overlayfs keeps it, where there is one.
    fn upper(&self) -> Option<BorrowedFd<'_>>;

    /// The directory in which overlayfs works, where the merged tree is one of the kernel's.
    fn work(&self) -> Option<PathBuf> {
        None
    }

    /// The directories of the lower layers, as far as the subject has such.
    fn lowers(&self) -> Vec<PathBuf>;

    /// How many layers lie below the upper one.
    fn layers_below(&self) -> usize {
        self.lowers().len()
    }

    /// Puts an empty layer on top; the one that was written to never changes again. Only while unmounted.
    fn commit(&mut self) -> Result<(), SubjectError>;

    /// The layers below the upper one as tars, where the subject has such.
    fn frozen(&self) -> Option<&dyn Frozen> {
        None
    }
}

/// The layers below the upper one, as a driver tells of them and carries them. Paths are those outside of the merged tree.
pub trait Frozen {
    /// How many there are.
    fn depth(&self) -> usize;

    /// The tar of layer `number`, counted from the lowest, written anew.
    fn tar(&self, number: usize, diff: Diff) -> Result<Tar, SubjectError>;

    /// What `docker diff` would show of the topmost of them: a letter and an absolute path, in the driver's order.
    fn changes(&self) -> Result<Vec<(char, Text)>, SubjectError>;

    /// What becomes of a new layer on the topmost of them that somebody attaches, while others ask for it.
    fn used(&self) -> Result<Used, SubjectError>;

    /// The tree that `tar` gives on this driver, on what lies below the topmost of them.
    fn applied(&self, tar: &Tar) -> Result<Applied, SubjectError>;

    /// The tree that all of `tars`, the lowest first, give in an empty store of the driver called `driver`.
    fn applied_elsewhere(&self, driver: &str, tars: &[Tar], order: Order) -> Result<Applied, SubjectError>;

    /// The drivers that [`Frozen::applied_elsewhere`] knows.
    fn elsewhere(&self) -> Vec<&'static str>;
}

/// Where a layer tar comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Diff {
    /// What the driver makes itself: of its upper directory, if it has one.
    Own,
    /// A comparison of the two whole trees.
    Walking,
}

/// When the layers of a stack are unpacked; they are stacked from the lowest afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The lowest first.
    Upwards,
    /// The topmost first.
    Downwards,
    /// All at once.
    Together,
}

/// A layer tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tar {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What the driver says is their digest.
    pub diff_id: String,
}

/// What became of a layer that was attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Its tree before others asked for it, and after that, read by the path it is attached at.
    pub attached: [Tree; 2],
    /// Whether something is mounted there when it was given back.
    pub is_left_mounted: bool,
    /// Whether what is mounted for whoever looks at it can be written into.
    pub takes_writing: bool,
}

/// What became of a layer tar.
pub struct Applied {
    /// The root of the tree that it gives.
    pub tree: OwnedFd,
    /// What has to live as long as the tree is looked at.
    pub holds: Vec<Box<dyn std::any::Any>>,
}

impl Applied {
    /// The tree, read whole. The thread's working directory is `/` afterwards: one in the tree would keep it mounted.
    pub fn read(self) -> Result<Tree, Errno> {
        let tree = tree::of_disk(&self.tree);
        rustix::process::chdir("/")?;
        tree
    }
}

/// The subject called `name`: one of ours, a foreign one, or where there is a slash in it, a driver program at that path. None where there is none.
/// An answer of a program may take as long as `limit`.
pub fn named(name: &str, limit: Duration) -> Result<Option<Box<dyn Subject>>, ProgramError> {
    match name.contains('/') {
        true => Ok(Some(Box::new(Program::new(name, limit)?))),
        false => match all().into_iter().find(|subject| subject.name() == name) {
            Some(ours) => Ok(Some(ours)),
            None => Ok(program::foreign(name, limit)?.map(|subject| Box::new(subject) as Box<dyn Subject>)),
        },
    }
}

/// Every subject of ours, by name.
pub fn all() -> Vec<Box<dyn Subject>> {
    let mut all: Vec<Box<dyn Subject>> = vec![Box::new(plain::Plain)];
    all.extend(overlay::all().map(|subject| Box::new(subject) as Box<dyn Subject>));
    all.extend(drivers::all().map(|subject| Box::new(subject) as Box<dyn Subject>));
    all
}
