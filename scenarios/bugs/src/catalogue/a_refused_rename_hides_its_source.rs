//! A directory that could not be renamed is gone.
//!
//! Origin: RN-10. The refusal itself is overlayfs's (moby#25409, overlayfs.rst: EXDEV without `redirect_dir`); what must hold is that nothing changed.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Mounted, Notes};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let refused = mounted.pass(step);
        if let (Operation::Rename { from, .. }, Err(Errno::XDEV)) = (&step.operation, &refused) {
            mounted.notes.insert(from.clone());
        }
        refused
    }

    fn look(&self, tree: &mut Tree, notes: &Notes) {
        for hidden in notes {
            let (hidden, below) = (&hidden.as_bytes()[1..], [&hidden.as_bytes()[1..], b"/"].concat());
            tree.retain(|path, _| path.as_bytes() != hidden && !path.as_bytes().starts_with(&below));
        }
    }
}
