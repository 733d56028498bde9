//! One case: a stack of layers, used by real system calls and by the model at once, and looked at after every step.

use std::cell::OnceCell;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use layerlab_model::errno::Errno;
use layerlab_model::inode::Time;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::process::Machine;
use layerlab_model::text::Text;
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::machine::Host;
use crate::mount_line;
use crate::perform::Hands;
use crate::subjects::{Diff, Frozen, Stack, Subject, SubjectError, Tar};
use crate::tree::{self, Tree};

/// A case that cannot go on, whatever the laws say.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The subject failed.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A tree could not be read.
    #[error("a tree of the case cannot be read: {0}")]
    Tree(rustix::io::Errno),
    /// The program that serves the merged tree is gone.
    #[error("the program that serves the merged tree has broken off")]
    BrokenOff,
}

impl From<rustix::io::Errno> for CaseError {
    fn from(errno: rustix::io::Errno) -> CaseError {
        match BROKEN_OFF.contains(&Errno(errno.raw_os_error())) {
            true => CaseError::BrokenOff,
            false => CaseError::Tree(errno),
        }
    }
}

/// What is refused so is refused by nobody: the program has broken off meanwhile, or before (`fuse_abort_conn` of `fs/fuse/dev.c`).
const BROKEN_OFF: [Errno; 2] = [Errno::CONNABORTED, Errno::NOTCONN];

/// What comes of a step.
pub type Outcome = Result<Answer, Errno>;

/// What really is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The merged tree.
    pub merged: Tree,
    /// The upper layer, where it lies in a directory of its own.
    pub upper: Option<Tree>,
}

/// The frozen layers of a case, to be asked from outside of the merged tree.
pub struct Outside<'a> {
    frozen: &'a dyn Frozen,
    outside: &'a OwnedFd,
    merged: &'a OwnedFd,
}

impl Outside<'_> {
    /// Asks; an answer that cannot be had is a finding.
    pub fn ask<T>(&self, question: impl FnOnce(&dyn Frozen) -> Result<T, CaseError>) -> Result<T, Vec<String>> {
        let finding = |error: CaseError| vec![error.to_string()];
        become_root(self.outside).map_err(finding)?;
        let answer = question(self.frozen);
        become_root(self.merged).map_err(finding)?;
        answer.map_err(finding)
    }
}

impl Outside<'_> {
    /// The tar of the layer that was frozen last, written anew.
    pub fn newest_tar(&self, diff: Diff) -> Result<Tar, Vec<String>> {
        self.ask(|frozen| Ok(frozen.tar(frozen.depth() - 1, diff)?))
    }

    /// The tree that this tar gives on what lies below that layer.
    pub fn applied(&self, tar: &Tar) -> Result<Tree, Vec<String>> {
        self.ask(|frozen| Ok(frozen.applied(tar)?.read()?))
    }
}

/// Makes `directory` this thread's root.
fn become_root(directory: &OwnedFd) -> Result<(), CaseError> {
    rustix::process::fchdir(directory)?;
    Ok(rustix::process::chroot(".")?)
}

/// A step that was done, with what it did.
pub struct Moment<'a> {
    /// The step.
    pub step: &'a Step,
    /// What came of it by the model.
    pub expected: Outcome,
    /// What came of it in truth.
    pub actual: Outcome,
    /// What was there before.
    pub before: &'a View,
    /// What is there now.
    pub after: &'a View,
    /// The model, as it is now.
    pub model: &'a Machine,
    /// The directories of the lower layers, the lowest first, as far as the subject has such.
    pub lowers: &'a [OwnedFd],
    /// How many layers lie below the upper one.
    pub depth: usize,
    /// The layers that are frozen, where the subject has them as tars. What has had a name that begins with `.wh.` has no
    /// tar: there it would be a whiteout (OCI image-spec, `layer.md`).
    pub frozen: Option<Outside<'a>>,
    /// Whether something has, or had, such a name.
    pub has_whiteout_names: bool,
    /// Whether the case ends here.
    pub is_last: bool,
    done: &'a [Done],
    eyes: Eyes<'a>,
    expected_tree: OnceCell<Tree>,
}

/// What it takes to see the merged tree.
struct Eyes<'a> {
    merged: Option<&'a OwnedFd>,
    hands: &'a dyn Hands,
    model: &'a Machine,
}

impl Eyes<'_> {
    fn see(&self) -> Result<Tree, CaseError> {
        let merged = self.merged.map_or(Ok(Tree::new()), tree::of_disk)?;
        let mut merged = self.hands.look(merged);
        tree::forget(&mut merged, self.model.union(), self.model.promises());
        Ok(merged)
    }
}

/// How often a tree is seen again, and how long after the time before. A program is executed within milliseconds.
const LOOKS_MAX: u32 = 50;
const UNTIL_EXECUTED: Duration = Duration::from_millis(2);

impl Moment<'_> {
    /// The merged tree as the model has it.
    pub fn expected_tree(&self) -> &Tree {
        self.expected_tree.get_or_init(|| {
            let mut tree = tree::of_union(self.model.union());
            tree::forget(&mut tree, self.model.union(), self.model.promises());
            tree
        })
    }

    /// Which of `paths` stay listed with another inode number than they have. overlayfs keeps the numbers of a listing for as long as anybody has the directory
    /// open, whatever is copied up meanwhile; and a program that another thread starts has open what this one has, until it is executed.
    ///
    /// # Errors
    /// When the tree cannot be seen again.
    pub fn listed_otherwise(&self, mut paths: Vec<Text>) -> Result<Vec<Text>, CaseError> {
        for _ in 0..LOOKS_MAX {
            if paths.is_empty() {
                break;
            }
            std::thread::sleep(UNTIL_EXECUTED);
            let tree = self.eyes.see()?;
            paths.retain(|path| tree.get(path).is_none_or(|facts| !facts.is_listed_with_its_inode));
        }
        Ok(paths)
    }

    /// Between which times the model's n-th reading of the clock was taken: when the step began and ended that took it. None if it
    /// is older than the case.
    pub fn taken(&self, reading: u64) -> Option<(Time, Time)> {
        let later = self.done.partition_point(|step| step.readings_before < reading);
        let step = later.checked_sub(1).map(|step| &self.done[step])?;
        Some((step.began, step.ended))
    }
}

/// When a step was done.
struct Done {
    /// How often the model had read the clock before it.
    readings_before: u64,
    /// By the coarse clock, from which the kernel takes its times (`current_time` of `fs/inode.c`).
    began: Time,
    /// By the fine one, which is never behind.
    ended: Time,
}

/// A case under way. The thread it runs in has a root directory of its own, which is the merged tree.
pub struct Case {
    model: Machine,
    stack: Box<dyn Stack>,
    hands: Box<dyn Hands>,
    merged: Option<OwnedFd>,
    lowers: Vec<OwnedFd>,
    outside: OwnedFd,
    before: View,
    view: View,
    done: Vec<Done>,
    has_whiteout_names: bool,
}

impl Case {
    /// Begins in the empty directory `place`; the thread must have been prepared by [`prepare_thread`].
    pub fn begin(subject: &dyn Subject, host: &Host, place: &Path) -> Result<Case, CaseError> {
        let empty = || View { merged: Tree::new(), upper: None };
        let mut case = Case {
            model: Machine::new(subject.promises(host)),
            stack: subject.begin(place)?,
            hands: subject.hands(),
            merged: None,
            lowers: Vec::new(),
            outside: directory(Path::new("/"))?,
            before: empty(),
            view: empty(),
            done: Vec::new(),
            has_whiteout_names: false,
        };
        case.enter()?;
        case.view = case.look()?;
        Ok(case)
    }

    /// The model as it is.
    pub fn model(&self) -> &Machine {
        &self.model
    }

    /// What really is there.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// How the merged tree is mounted, in the kernel's words; it is not to be used afterwards.
    pub fn mount_line(&self) -> io::Result<String> {
        let merged = self.merged.as_ref().ok_or_else(|| io::Error::other("it is not mounted"))?;
        rustix::process::fchdir(&self.outside)?;
        rustix::process::chroot(".")?;
        mount_line::of(merged)
    }

    fn enter(&mut self) -> Result<(), CaseError> {
        let merged = self.stack.mount()?;
        self.lowers = self.stack.lowers().iter().map(|path| directory(path)).collect::<Result<_, _>>()?;
        become_root(&merged)?;
        self.merged = Some(merged);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), CaseError> {
        self.hands.close_all();
        become_root(&self.outside)?;
        self.merged = None;
        Ok(self.stack.unmount()?)
    }

    /// Does one step on both sides and looks at what came of it.
    pub fn step<'a>(&'a mut self, step: &'a Step, is_last: bool) -> Result<Moment<'a>, CaseError> {
        let (expected, actual) = self.both(step)?;
        let view = self.look()?;
        self.has_whiteout_names |= view.merged.keys().any(has_whiteout_name);
        self.before = std::mem::replace(&mut self.view, view);
        let has_whiteout_names = self.has_whiteout_names;
        let Case { model, lowers, before, view, stack, outside, merged, done, hands, .. } = self;
        let depth = stack.layers_below();
        let frozen = stack.frozen().filter(|_| !has_whiteout_names).zip(merged.as_ref());
        let frozen = frozen.map(|(frozen, merged)| Outside { frozen, outside, merged });
        let eyes = Eyes { merged: merged.as_ref(), hands: &**hands, model };
        Ok(Moment {
            step,
            expected,
            actual,
            before,
            after: view,
            model,
            lowers,
            depth,
            frozen,
            has_whiteout_names,
            is_last,
            done,
            eyes,
            expected_tree: OnceCell::new(),
        })
    }

    /// Does one step on both sides: what should come of it, and what comes of it. The trees are not looked at.
    pub fn pass(&mut self, step: &Step) -> Result<(Outcome, Outcome), CaseError> {
        self.both(step)
    }

    fn both(&mut self, step: &Step) -> Result<(Outcome, Outcome), CaseError> {
        let readings_before = self.model.union().readings();
        let expected = self.model.step(step);
        let began = now(ClockId::RealtimeCoarse);
        let actual = self.perform(step)?;
        if actual.as_ref().is_err_and(|errno| BROKEN_OFF.contains(errno)) {
            return Err(CaseError::BrokenOff);
        }
        self.done.push(Done { readings_before, began, ended: now(ClockId::Realtime) });
        Ok((expected, actual))
    }

    fn perform(&mut self, step: &Step) -> Result<Outcome, CaseError> {
        if !matches!(step.operation, Operation::Remount | Operation::Commit) {
            return Ok(self.hands.step(step));
        }
        self.leave()?;
        if step.operation == Operation::Commit {
            self.stack.commit()?;
        }
        self.enter()?;
        Ok(Ok(Answer::Done))
    }

    fn look(&self) -> Result<View, CaseError> {
        let merged = Eyes { merged: self.merged.as_ref(), hands: &*self.hands, model: &self.model }.see()?;
        Ok(View { merged, upper: self.stack.upper().map(|upper: BorrowedFd<'_>| tree::of_disk(upper)).transpose()? })
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            eprintln!("layerlab-laws: cannot leave a case: {error}");
        }
    }
}

fn has_whiteout_name(path: &Text) -> bool {
    path.as_bytes().split(|byte| *byte == b'/').any(|name| name.starts_with(b".wh."))
}

fn now(clock: ClockId) -> Time {
    let now = clock_gettime(clock);
    Time { seconds: now.tv_sec, nanoseconds: now.tv_nsec as u32 }
}

fn directory(path: &Path) -> Result<OwnedFd, rustix::io::Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Gives this thread a root directory, a working directory and a file mode mask of its own, and no groups but its own.
pub fn prepare_thread() -> Result<(), rustix::io::Errno> {
    let unshared = nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS);
    unshared.map_err(|errno| rustix::io::Errno::from_raw_os_error(errno as i32))?;
    rustix::process::umask(Mode::empty());
    match rustix::thread::set_thread_groups(&[]) {
        // A user with a single ID in the namespace may not; then there is no second user either (user_namespaces(7)).
        Err(rustix::io::Errno::PERM) => Ok(()),
        set => set,
    }
}
