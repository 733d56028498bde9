//! Programs in the container see the driver's own attributes of a directory.
//!
//! Origin: XA-05. containers/fuse-overlayfs#173 (632c56f); Linux before b581755b1c56 (xfstests overlay/011).

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::text::Text;
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Mounted, Notes, in_tree};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let was_whited_out = matches!(&step.operation, Operation::Mkdir { path, .. } if mounted.is_whited_out(path));
        let done = mounted.pass(step)?;
        if let (Operation::Mkdir { path, .. }, true) = (&step.operation, was_whited_out) {
            mounted.notes.insert(path.clone());
        }
        Ok(done)
    }

    fn look(&self, tree: &mut Tree, notes: &Notes) {
        for path in notes {
            if let Some(facts) = tree.get_mut(&in_tree(path)) {
                facts.xattrs.insert(Text::from("trusted.overlay.opaque"), b"y".to_vec());
            }
        }
    }
}
