//! A plain directory: no layers at all. What fails here is wrong in the model or in how operations are performed.

use std::fs::DirBuilder;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use layerlab_model::promises::Promises;
use rustix::fs::{Mode, OFlags};

use super::{Stack, Subject, SubjectError};
use crate::machine::Host;

/// The subject.
pub struct Plain;

struct Directory {
    path: PathBuf,
}

impl Subject for Plain {
    fn name(&self) -> String {
        "plain".to_owned()
    }

    fn promises(&self, host: &Host) -> Promises {
        Promises { layers: false, whiteouts_are_refused: false, ..host.promises() }
    }

    fn refusal(&self, _host: &Host) -> Option<String> {
        None
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        let path = place.join("tree");
        DirBuilder::new().mode(0o755).create(&path).map_err(SubjectError::of("mkdir", &path))?;
        Ok(Box::new(Directory { path }))
    }
}

impl Stack for Directory {
    fn mount(&mut self) -> Result<OwnedFd, SubjectError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(&self.path, flags, Mode::empty()).map_err(SubjectError::of("open", &self.path))
    }

    fn unmount(&mut self) -> Result<(), SubjectError> {
        Ok(())
    }

    fn upper(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn lowers(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn commit(&mut self) -> Result<(), SubjectError> {
        Ok(())
    }
}
