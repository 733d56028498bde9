//! One case: a stack of layers, used by real system calls and by the model at once, and looked at after every step.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::process::Machine;
use layerlab_model::text::Text;
use rustix::fs::{Mode, OFlags};

use crate::machine::Host;
use crate::mount_line;
use crate::perform::Hands;
use crate::subjects::{Applied, Stack, Subject, SubjectError};
use crate::tree::{self, Tree};

/// A case that cannot go on, whatever the laws say.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    /// The subject failed.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// A tree could not be read.
    #[error("a tree of the case cannot be read: {0}")]
    Tree(#[from] rustix::io::Errno),
}

/// What really is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The merged tree.
    pub merged: Tree,
    /// The upper layer, where it lies in a directory of its own.
    pub upper: Option<Tree>,
}

/// What a layer's tar gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedTree {
    /// The tree.
    pub tree: Tree,
    /// The digests of the tar when it was written once and once more.
    pub diff_ids: [String; 2],
}

impl AppliedTree {
    fn read(applied: Applied) -> Result<AppliedTree, rustix::io::Errno> {
        Ok(AppliedTree { tree: tree::of_disk(&applied.tree)?, diff_ids: applied.diff_ids })
    }
}

/// A step that was done, with what it did.
pub struct Moment<'a> {
    /// The step.
    pub step: &'a Step,
    /// What came of it by the model.
    pub expected: Result<Answer, Errno>,
    /// What came of it in truth.
    pub actual: Result<Answer, Errno>,
    /// What was there before.
    pub before: &'a View,
    /// What is there now.
    pub after: &'a View,
    /// The model, as it is now.
    pub model: &'a Machine,
    /// The directories of the lower layers, the lowest first.
    pub lowers: &'a [OwnedFd],
    /// At a commit, what the layer's tar gives when it is applied to what lies below, where the subject has such. What has
    /// had a name that begins with `.wh.` has no tar: there it would be a whiteout (OCI image-spec, `layer.md`).
    pub applied: Option<AppliedTree>,
    /// Whether the case ends here.
    pub is_last: bool,
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
        rustix::process::fchdir(&merged)?;
        rustix::process::chroot(".")?;
        self.merged = Some(merged);
        Ok(())
    }

    fn leave(&mut self) -> Result<(), CaseError> {
        self.hands.close_all();
        rustix::process::fchdir(&self.outside)?;
        rustix::process::chroot(".")?;
        self.merged = None;
        Ok(self.stack.unmount()?)
    }

    /// Does one step on both sides and looks at what came of it.
    pub fn step<'a>(&'a mut self, step: &'a Step, is_last: bool) -> Result<Moment<'a>, CaseError> {
        let expected = self.model.step(step);
        let mut applied = None;
        let actual = match step.operation {
            Operation::Remount | Operation::Commit => {
                self.leave()?;
                if step.operation == Operation::Commit && !self.has_whiteout_names {
                    applied = self.stack.applied().transpose()?.map(AppliedTree::read).transpose()?;
                }
                if step.operation == Operation::Commit {
                    self.stack.commit()?;
                }
                self.enter()?;
                Ok(Answer::Done)
            }
            _ => self.hands.step(step),
        };
        let view = self.look()?;
        self.has_whiteout_names |= view.merged.keys().any(has_whiteout_name);
        self.before = std::mem::replace(&mut self.view, view);
        let Case { model, lowers, before, view, .. } = self;
        Ok(Moment { step, expected, actual, before, after: view, model, lowers, applied, is_last })
    }

    fn look(&self) -> Result<View, CaseError> {
        let merged = self.merged.as_ref().map_or(Ok(Tree::new()), tree::of_disk)?;
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
