//! A subject with a fault planted for the occasion: in what is done, in what lies on disk, or in what is told of its layers.

use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::promises::Promises;
use layerlab_model::text::Text;
use layerlab_properties::machine::Host;
use layerlab_properties::perform::Hands;
use layerlab_properties::subjects::{Applied, Diff, Frozen, Order, Stack, Subject, SubjectError, Tar, Used};

/// Other operations than a step's.
pub type Instead = fn(&Step) -> Option<Vec<Operation>>;
/// What is said in place of doing a step.
pub type Answers = fn(&Step) -> Option<Result<Answer, Errno>>;
/// Something done to the upper directory.
pub type Spoil = fn(&Path);
/// Other changes than there are.
type Told = fn(&mut Vec<(char, Text)>);
/// Other tars than there are.
type Sent = fn(&[Tar], Order) -> Vec<Tar>;

/// What is wrong; nothing, where nothing is said.
#[derive(Clone, Copy)]
pub struct Fault {
    /// A step is done in another way, which says itself what came of it.
    pub answer: Option<Answers>,
    /// Other operations are done in place of a step.
    pub instead: Option<Instead>,
    /// Something is done after a step was refused.
    pub when_refused: Option<fn(&Step) -> Option<Operation>>,
    /// Something happens to the upper directory before it becomes a lower layer.
    pub committed: Option<Spoil>,
    /// Something happens to the disk while nothing is mounted.
    pub unmounted: Option<fn(&dyn Stack)>,
    /// Another tar is given; the number says how many were written before.
    pub tar: Option<fn(Tar, Diff, usize) -> Tar>,
    /// Other changes are told.
    pub changes: Option<Told>,
    /// Something else becomes of a layer that is attached.
    pub used: Option<fn(&mut Used)>,
    /// Other tars are applied elsewhere.
    pub elsewhere: Option<Sent>,
}

impl Fault {
    /// Nothing is wrong.
    pub const NONE: Fault = Fault {
        answer: None,
        instead: None,
        when_refused: None,
        committed: None,
        unmounted: None,
        tar: None,
        changes: None,
        used: None,
        elsewhere: None,
    };
}

/// The subject.
pub struct Faulty<'a> {
    /// Who does everything else.
    pub inner: &'a dyn Subject,
    /// Whose promises it makes.
    pub promises: &'a dyn Subject,
    /// What is wrong.
    pub fault: Fault,
}

impl Subject for Faulty<'_> {
    fn name(&self) -> String {
        format!("faulty {}", self.inner.name())
    }

    fn promises(&self, host: &Host) -> Promises {
        self.promises.promises(host)
    }

    fn refusal(&self, host: &Host) -> Option<String> {
        self.inner.refusal(host)
    }

    fn hands(&self) -> Box<dyn Hands> {
        Box::new(WrongHands { inner: self.inner.hands(), fault: self.fault })
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        Ok(Box::new(Spoilt { inner: self.inner.begin(place)?, fault: self.fault, written: Cell::new(0) }))
    }
}

struct WrongHands {
    inner: Box<dyn Hands>,
    fault: Fault,
}

impl Hands for WrongHands {
    fn step(&mut self, step: &Step) -> Result<Answer, Errno> {
        if let Some(answer) = self.fault.answer.and_then(|answer| answer(step)) {
            return answer;
        }
        if let Some(instead) = self.fault.instead.and_then(|instead| instead(step)) {
            for operation in instead {
                self.inner.step(&Step { user: step.user, operation })?;
            }
            return Ok(Answer::Done);
        }
        let result = self.inner.step(step);
        if let (Err(_), Some(operation)) = (&result, self.fault.when_refused.and_then(|more| more(step))) {
            let _ = self.inner.step(&Step { user: step.user, operation });
        }
        result
    }

    fn close_all(&mut self) {
        self.inner.close_all();
    }
}

struct Spoilt {
    inner: Box<dyn Stack>,
    fault: Fault,
    written: Cell<usize>,
}

impl Stack for Spoilt {
    fn mount(&mut self) -> Result<OwnedFd, SubjectError> {
        self.inner.mount()
    }

    fn unmount(&mut self) -> Result<(), SubjectError> {
        self.inner.unmount()?;
        if let Some(spoil) = self.fault.unmounted {
            spoil(&*self.inner);
        }
        Ok(())
    }

    fn upper(&self) -> Option<BorrowedFd<'_>> {
        self.inner.upper()
    }

    fn lowers(&self) -> Vec<PathBuf> {
        self.inner.lowers()
    }

    fn commit(&mut self) -> Result<(), SubjectError> {
        if let (Some(spoil), Some(upper)) = (self.fault.committed, self.inner.upper()) {
            spoil(Path::new(&format!("/proc/self/fd/{}/", upper.as_raw_fd())));
        }
        self.inner.commit()
    }

    fn frozen(&self) -> Option<&dyn Frozen> {
        self.inner.frozen().is_some().then_some(self)
    }
}

impl Spoilt {
    fn inner(&self) -> &dyn Frozen {
        self.inner.frozen().expect("asked only where there is one")
    }
}

impl Frozen for Spoilt {
    fn depth(&self) -> usize {
        self.inner().depth()
    }

    fn tar(&self, number: usize, diff: Diff) -> Result<Tar, SubjectError> {
        let tar = self.inner().tar(number, diff)?;
        let written = self.written.replace(self.written.get() + 1);
        Ok(self.fault.tar.map_or_else(|| tar.clone(), |spoil| spoil(tar.clone(), diff, written)))
    }

    fn changes(&self) -> Result<Vec<(char, Text)>, SubjectError> {
        let mut changes = self.inner().changes()?;
        if let Some(spoil) = self.fault.changes {
            spoil(&mut changes);
        }
        Ok(changes)
    }

    fn used(&self) -> Result<Used, SubjectError> {
        let mut used = self.inner().used()?;
        if let Some(spoil) = self.fault.used {
            spoil(&mut used);
        }
        Ok(used)
    }

    fn applied(&self, tar: &Tar) -> Result<Applied, SubjectError> {
        self.inner().applied(tar)
    }

    fn applied_elsewhere(&self, driver: &str, tars: &[Tar], order: Order) -> Result<Applied, SubjectError> {
        match self.fault.elsewhere {
            Some(spoil) => self.inner().applied_elsewhere(driver, &spoil(tars, order), order),
            None => self.inner().applied_elsewhere(driver, tars, order),
        }
    }

    fn elsewhere(&self) -> Vec<&'static str> {
        self.inner().elsewhere()
    }
}
