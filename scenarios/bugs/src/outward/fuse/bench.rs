//! Where a request that came through FUSE lies while the bug looks at it: what it is in the words of the laws, and how it is done exactly.
//!
//! *Why*: a bug knows steps, which say less than a request does (bytes that are not all the same, two different times). *Holds*: a bug
//! that hands its step on as it was has the request itself done, with all that it said; one that does something else is
//! obeyed to the letter.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Slot, Step, User};
use layerlab_properties::perform::{Hands, Performer};

use super::caller::Caller;

/// What comes of a request.
pub enum Done {
    /// This.
    Answer(Answer),
    /// A file is open.
    Opened(OwnedFd),
}

impl From<()> for Done {
    fn from((): ()) -> Done {
        Done::Answer(Answer::Done)
    }
}

/// Does a request exactly; a bug may have it done again.
pub type Act = Box<dyn FnMut() -> Result<Done, rustix::io::Errno> + Send>;

/// The bench: shared between FUSE, which lays requests down, and the hands behind the bug, which do them.
#[derive(Clone, Default)]
pub struct Bench(Arc<Mutex<Laid>>);

#[derive(Default)]
struct Laid {
    performer: Performer,
    request: Option<(Step, Caller, Option<Act>)>,
}

impl Bench {
    fn laid(&self) -> MutexGuard<'_, Laid> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands that do what lies here.
    pub fn hands(&self) -> Box<dyn Hands> {
        Box::new(self.clone())
    }

    /// Has `operation` done by `hands`, behind which these are. What is done exactly is `act`; without one the operation says all.
    pub fn ask(
        &self,
        hands: &mut dyn Hands,
        caller: &Caller,
        operation: Operation,
        act: Option<Act>,
    ) -> Result<Answer, Errno> {
        let step = Step { user: if caller.is_root() { User::Root } else { User::Other }, operation };
        self.laid().request = Some((step.clone(), caller.clone(), act));
        let answer = hands.step(&step);
        self.laid().request = None;
        answer
    }

    /// What is open in `slot`, once more.
    pub fn open_in(&self, slot: Slot) -> Option<OwnedFd> {
        self.laid().performer.held(slot).and_then(|file| file.try_clone().ok())
    }
}

impl Hands for Bench {
    fn step(&mut self, step: &Step) -> Result<Answer, Errno> {
        let Laid { performer, request } = &mut *self.laid();
        let Some((asked, caller, act)) = request else { return Err(Errno::IO) };
        // What nobody asked for is done as the superuser.
        let who = if step.user == asked.user { caller.clone() } else { Caller::ROOT };
        let act = act.as_mut().filter(|_| step == asked);
        let as_they = Step { user: User::Root, operation: step.operation.clone() };
        let raw = |errno: rustix::io::Errno| Errno(errno.raw_os_error());
        let done = who.act(|| match act {
            Some(act) => act().map_err(raw),
            None => performer.step(&as_they).map(Done::Answer),
        });
        match (done.map_err(raw)??, &step.operation) {
            (Done::Opened(file), Operation::Open { slot, .. }) => {
                performer.hold(*slot, file);
                Ok(Answer::Done)
            }
            (Done::Opened(_), _) => Ok(Answer::Done),
            (Done::Answer(answer), _) => Ok(answer),
        }
    }

    fn close_all(&mut self) {
        self.laid().performer.close_all();
    }
}
