//! A driver that is a program of its own, in any language: one that answers the words of `scenarios/bugs/README.md` on its command line.
//!
//! *Why*: whoever writes a storage driver need not know Rust, or us, to hold it against the laws. *Holds*: it is asked once, before the
//! first case, what it promises and what it has; what it cannot do at all (status 77) is a skip, what it refuses a finding. *Never*: it is waited for longer
//! than the limit. *Proved by*: `tests/program.rs`, by a driver in forty lines of shell, and `scenarios/bugs/tests/driver_programs.rs`, by our own drivers as such programs.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use layerlab_model::promises::Promises;
use layerlab_scenarios::lab::prepare::workspace_root;
use serde_json::{Map, Value};

use super::{Stack, Subject, SubjectError};
use crate::machine::Host;

mod call;
mod layers;

use call::{Call, DataRoot, Said};
pub use call::{KIND, LIMIT, ProgramError};
use layers::Layers;

/// In what a program says of its promises, the subject that it is like.
const LIKE: &str = "like";

/// Storage that others make, by a driver program each that is kept with the laws: what it is called, the program, and which of its kinds.
const FOREIGN: [(&str, &str, &str); 13] = [
    ("fuse-overlayfs", "fuse-overlayfs.sh", "fuse-overlayfs"),
    ("containers-storage-overlay", "containers-storage.sh", "overlay"),
    ("containers-storage-vfs", "containers-storage.sh", "vfs"),
    ("containers-storage-btrfs", "containers-storage.sh", "btrfs"),
    ("containers-storage-fuse-overlayfs", "containers-storage.sh", "fuse-overlayfs"),
    ("containerd-overlayfs", "containerd.sh", "overlayfs"),
    ("containerd-native", "containerd.sh", "native"),
    ("containerd-btrfs", "containerd.sh", "btrfs"),
    ("dockerd-overlay2", "dockerd.sh", "overlay2"),
    ("dockerd-vfs", "dockerd.sh", "vfs"),
    ("dockerd-btrfs", "dockerd.sh", "btrfs"),
    ("dockerd-fuse-overlayfs", "dockerd.sh", "fuse-overlayfs"),
    ("umoci", "umoci.sh", "umoci"),
];

/// What all of those are called.
pub fn foreigners() -> impl Iterator<Item = &'static str> {
    FOREIGN.iter().map(|(name, ..)| *name)
}

/// Whether the subject called `name` is a driver program, of ours or by its path.
pub fn is_program(name: &str) -> bool {
    name.contains('/') || foreigners().any(|foreigner| foreigner == name)
}

/// The one called `name`, where there is one; an answer may take as long as `limit`.
pub fn foreign(name: &str, limit: Duration) -> Result<Option<Program>, ProgramError> {
    let found = FOREIGN.iter().find(|(called, ..)| *called == name);
    let at = |program: &str| workspace_root().join("scenarios/properties/drivers").join(program);
    found.map(|(name, program, kind)| Program::called(name, &at(program), Some(kind), limit)).transpose()
}

/// A program by its path.
pub struct Program {
    name: String,
    path: PathBuf,
    kind: Option<&'static str>,
    like: Option<Box<dyn Subject>>,
    promises: Map<String, Value>,
    limit: Duration,
    /// What was said when it gave no answer once.
    silence: Arc<OnceLock<String>>,
    /// Whether it has the tars of its layers.
    has_tars: OnceLock<bool>,
}

impl Program {
    /// The program at `name`, which is asked what it promises; an answer may take as long as `limit`.
    pub fn new(name: &str, limit: Duration) -> Result<Program, ProgramError> {
        Program::called(name, Path::new(name), None, limit)
    }

    fn called(name: &str, path: &Path, kind: Option<&'static str>, limit: Duration) -> Result<Program, ProgramError> {
        let path = fs::canonicalize(path).map_err(|source| ProgramError::Start { program: path.into(), source })?;
        // Drivers of two projects may be called alike; what is kept of their failures is of one.
        let name = if kind.is_none() { path.display().to_string() } else { name.to_owned() };
        let place = tempfile::tempdir().map_err(|source| ProgramError::Start { program: path.clone(), source })?;
        let silence = Arc::new(OnceLock::new());
        let data_root = place.path().to_owned();
        let call = Call {
            program: path.clone(),
            kind,
            data_root,
            limit,
            silence: Arc::clone(&silence),
            is_begun: Cell::new(false),
        };
        let mut promises = match call.ask(&["promises"], None)? {
            Said::NoSuchThing(_) => Map::new(),
            Said::Done(text) => serde_json::from_slice(&text).map_err(|error| call.answered("promises", error))?,
        };
        let like = promises.remove(LIKE).map(|like| match super::all().into_iter().find(|one| like == *one.name()) {
            None => Err(call.answered("promises", format!("there is no subject {like} that it could be like"))),
            Some(like) => Ok(like),
        });
        changed(Promises::COMMON, &promises).map_err(|error| call.answered("promises", error))?;
        let has_tars = OnceLock::new();
        Ok(Program { name, path, kind, like: like.transpose()?, promises, limit, silence, has_tars })
    }

    fn call(&self, data_root: &Path) -> Call {
        let (data_root, silence) = (data_root.to_owned(), Arc::clone(&self.silence));
        Call {
            program: self.path.clone(),
            kind: self.kind,
            data_root,
            limit: self.limit,
            silence,
            is_begun: Cell::new(false),
        }
    }

    /// Why it cannot be had on what `place` is on, where it says so itself. Anything else that goes wrong is an error.
    pub fn trial(&self, place: &Path) -> Result<Option<String>, ProgramError> {
        let failed = |source| ProgramError::Start { program: self.path.clone(), source };
        let trial = tempfile::tempdir_in(place).map_err(failed)?;
        Ok(self.tried(trial.path())?.err())
    }

    /// Makes two layers and asks everything of them, in the empty directory `place`: whether there are tars of layers. What is wanting is told.
    fn tried(&self, place: &Path) -> Result<Result<bool, String>, ProgramError> {
        let call = DataRoot(self.call(place));
        for words in [&["create", "one"][..], &["mount", "one"], &["umount", "one"], &["create", "two", "one"]] {
            if let Said::NoSuchThing(why) = call.ask(words, None)? {
                return Ok(Err(why));
            }
        }
        call.listed(&["one", "two"])?;
        let mut has_tars = matches!(call.ask(&["changes", "two", "one"], None)?, Said::Done(_));
        has_tars &= match call.ask(&["diff", "two", "one"], None)? {
            Said::Done(tar) => call.apply("three", Some("one"), &tar)?,
            Said::NoSuchThing(_) => false,
        };
        if has_tars {
            call.done(&["remove", "three"])?;
        }
        for id in ["two", "one"] {
            call.done(&["remove", id])?;
        }
        call.listed(&[])?;
        Ok(Ok(has_tars))
    }
}

/// Promises in which some differ; what nobody promises is an error that names all that can be.
fn changed(promises: Promises, by: &Map<String, Value>) -> Result<Promises, String> {
    let Value::Object(mut all) = serde_json::to_value(promises).map_err(|error| error.to_string())? else {
        return Err("promises are no object".to_owned());
    };
    for (name, value) in by {
        if all.insert(name.clone(), value.clone()).is_none() {
            let names: Vec<String> = all.into_iter().map(|(name, _)| name).filter(|other| other != name).collect();
            return Err(format!("there is no promise {name}; there are {}", names.join(", ")));
        }
    }
    serde_json::from_value(Value::Object(all)).map_err(|error| error.to_string())
}

impl Subject for Program {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn promises(&self, host: &Host) -> Promises {
        let like = self.like.as_ref().map_or_else(|| host.promises(), |like| like.promises(host));
        changed(like, &self.promises).expect("what it promises was tried when it was first asked")
    }

    fn refusal(&self, _host: &Host) -> Option<String> {
        None
    }

    fn refusal_on(&self, place: &Path) -> Option<String> {
        // What else is wrong breaks the first case, and is told there.
        self.trial(place).ok()?
    }

    fn program(&self) -> Option<(&Path, Option<&str>)> {
        Some((&self.path, self.kind))
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        let has_tars = match self.has_tars.get() {
            Some(has_tars) => *has_tars,
            None => {
                let trial = tempfile::tempdir_in(place).map_err(SubjectError::of("try the driver in", place))?;
                let tried = self.tried(trial.path()).map_err(SubjectError::of("try the driver in", place))?;
                let tried = tried.map_err(SubjectError::of("begin with the driver in", place))?;
                *self.has_tars.get_or_init(|| tried)
            }
        };
        Ok(Box::new(Layers::begin(self.call(place), has_tars)?))
    }
}
