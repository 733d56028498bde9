//! One case: a stack of layers, used by real system calls and by the model at once, compared after every step.

use std::fmt;
use std::os::fd::OwnedFd;
use std::path::Path;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::process::Machine;
use rustix::fs::{Mode, OFlags};

use crate::machine::Host;
use crate::perform::Performer;
use crate::subjects::{Stack, Subject, SubjectError};
use crate::tree::{self, Difference, Tree};

/// A law that does not hold, or a subject that cannot go on.
#[derive(Debug)]
pub enum Broken {
    /// A step came out otherwise than the model has it.
    Answer {
        /// What the model says.
        expected: Result<Answer, Errno>,
        /// What the kernel says.
        actual: Result<Answer, Errno>,
    },
    /// The merged tree is another.
    Merged(Vec<Difference>),
    /// The upper layer holds something else.
    Upper(Vec<Difference>),
    /// The subject failed.
    Subject(SubjectError),
    /// A tree could not be read.
    Unreadable(rustix::io::Errno),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = |what: &str, differences: &[Difference]| {
            writeln!(f, "{what}:")?;
            differences.iter().try_for_each(|difference| writeln!(f, "  {difference}"))
        };
        match self {
            Broken::Answer { expected, actual } => {
                writeln!(f, "the last step should give {expected:?}, gives {actual:?}")
            }
            Broken::Merged(differences) => list("the merged tree is another", differences),
            Broken::Upper(differences) => list("the upper layer is another", differences),
            Broken::Subject(error) => writeln!(f, "{error}"),
            Broken::Unreadable(errno) => writeln!(f, "a tree cannot be read: {errno}"),
        }
    }
}

impl From<SubjectError> for Broken {
    fn from(error: SubjectError) -> Broken {
        Broken::Subject(error)
    }
}

impl From<rustix::io::Errno> for Broken {
    fn from(errno: rustix::io::Errno) -> Broken {
        Broken::Unreadable(errno)
    }
}

/// A case under way. The thread it runs in has a root directory of its own, which is the merged tree.
pub struct Case {
    model: Machine,
    stack: Box<dyn Stack>,
    performer: Performer,
    merged: Option<OwnedFd>,
    outside: OwnedFd,
}

impl Case {
    /// Begins in the empty directory `place`; the thread must have been prepared by [`prepare_thread`].
    pub fn begin(subject: &dyn Subject, host: &Host, place: &Path) -> Result<Case, Broken> {
        let model = Machine::new(subject.promises(host));
        let outside = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let stack = subject.begin(place)?;
        let mut case = Case { model, stack, performer: Performer::default(), merged: None, outside };
        case.enter()?;
        Ok(case)
    }

    /// The model as it is.
    pub fn model(&self) -> &Machine {
        &self.model
    }

    fn enter(&mut self) -> Result<(), Broken> {
        let merged = self.stack.mount()?;
        rustix::process::fchdir(&merged)?;
        rustix::process::chroot(".")?;
        self.merged = Some(merged);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Broken> {
        self.performer.close_all();
        rustix::process::fchdir(&self.outside)?;
        rustix::process::chroot(".")?;
        self.merged = None;
        Ok(self.stack.unmount()?)
    }

    /// Does one step on both sides and compares.
    pub fn step(&mut self, step: &Step) -> Result<Result<Answer, Errno>, Broken> {
        let expected = self.model.step(step);
        let actual = match step.operation {
            Operation::Remount | Operation::Commit => {
                self.leave()?;
                if step.operation == Operation::Commit {
                    self.stack.commit()?;
                }
                self.enter()?;
                Ok(Answer::Done)
            }
            _ => self.performer.step(step),
        };
        if expected != actual {
            return Err(Broken::Answer { expected, actual });
        }
        self.compare()?;
        Ok(actual)
    }

    fn compare(&self) -> Result<(), Broken> {
        let union = self.model.union();
        let Some(merged) = &self.merged else { return Ok(()) };
        let found = tree::differences(&tree::of_union(union), &tree::of_disk(merged)?);
        if !found.is_empty() {
            return Err(Broken::Merged(found));
        }
        let Some(upper) = self.stack.upper() else { return Ok(()) };
        let found = tree::differences(&tree::of_upper(union), &tree::of_disk(upper)?);
        match found.is_empty() {
            true => Ok(()),
            false => Err(Broken::Upper(found)),
        }
    }

    /// The merged tree as it is.
    pub fn merged(&self) -> Option<Tree> {
        self.merged.as_ref().and_then(|merged| tree::of_disk(merged).ok())
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if let Err(broken) = self.leave() {
            eprintln!("layerlab-laws: cannot leave a case: {broken}");
        }
    }
}

/// Gives this thread a root directory, a working directory and a file mode mask of its own, and no groups but its own.
pub fn prepare_thread() -> nix::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
    rustix::process::umask(Mode::empty());
    rustix::thread::set_thread_groups(&[]).map_err(|errno| nix::errno::Errno::from_raw(errno.raw_os_error()))
}
