//! A file that was deleted in the root directory takes those of the same name in other directories along.
//!
//! Origin: WH-04. containers/fuse-overlayfs#151 (dfd9f18): a whiteout was looked for in any directory above.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::text::Text;
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Mounted, Notes, split};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let done = mounted.pass(step)?;
        if let Operation::Unlink { path } | Operation::Rename { from: path, .. } = &step.operation
            && split(path).0.as_bytes().is_empty()
            && mounted.is_whited_out(path)
        {
            mounted.notes.insert(split(path).1);
        }
        Ok(done)
    }

    fn look(&self, tree: &mut Tree, notes: &Notes) {
        let is_hidden = |path: &Text| {
            path.as_bytes().split(|byte| *byte == b'/').skip(1).any(|name| notes.contains(&Text::from(name)))
        };
        tree.retain(|path, _| !is_hidden(path));
    }
}
