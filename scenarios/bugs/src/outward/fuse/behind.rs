//! A subject of the laws whose merged tree is reached through FUSE and a bug: real system calls meet the bug, too.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use layerlab_model::promises::Promises;
use layerlab_properties::machine::Host;
use layerlab_properties::subjects::{Frozen, Stack, Subject, SubjectError};

use super::bench::Bench;
use super::serve::{Service, serve};
use crate::bug::ThroughFuse;
use crate::seeded::Seeded;

/// The subject.
pub struct Behind {
    seeded: Arc<Seeded>,
    through: ThroughFuse,
}

impl Behind {
    /// `seeded`, mounted so.
    pub fn new(seeded: Seeded, through: ThroughFuse) -> Behind {
        Behind { seeded: Arc::new(seeded), through }
    }
}

impl Subject for Behind {
    fn name(&self) -> String {
        format!("{} through FUSE", self.seeded.name())
    }

    fn promises(&self, host: &Host) -> Promises {
        self.seeded.promises(host)
    }

    fn refusal(&self, host: &Host) -> Option<String> {
        self.seeded.refusal(host)
    }

    fn refusal_on(&self, place: &Path) -> Option<String> {
        self.seeded.refusal_on(place)
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        let (inner, seeded, through) = (self.seeded.begin(place)?, Arc::clone(&self.seeded), self.through);
        Ok(Box::new(StackBehind { inner, seeded, through, place: place.to_owned(), service: None }))
    }
}

struct StackBehind {
    inner: Box<dyn Stack>,
    seeded: Arc<Seeded>,
    through: ThroughFuse,
    place: PathBuf,
    service: Option<Service>,
}

impl Stack for StackBehind {
    fn mount(&mut self) -> Result<OwnedFd, SubjectError> {
        let merged = self.inner.mount()?;
        let bench = Bench::default();
        let hands = self.seeded.before(bench.hands());
        let served = serve(merged, hands, bench, self.through);
        let served = served.map_err(SubjectError::of("mount through FUSE", &self.place))?;
        self.service = Some(served.service);
        Ok(served.root)
    }

    fn unmount(&mut self) -> Result<(), SubjectError> {
        let ended = self.service.take().map_or(Ok(()), Service::end);
        ended.map_err(SubjectError::of("end the service of", &self.place))?;
        self.inner.unmount()
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
        self.inner.commit()
    }

    fn frozen(&self) -> Option<&dyn Frozen> {
        self.inner.frozen()
    }
}
