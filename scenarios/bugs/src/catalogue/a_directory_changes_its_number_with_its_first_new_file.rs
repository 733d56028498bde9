//! A directory has another inode number when something was made in it, so that who watches it watches nothing.
//!
//! Origin: IN-06. docker#19647, #12327 and #19082: once the upper layer has the directory, its number is told.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Mounted, Notes, in_tree, split};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let made = match &step.operation {
            Operation::Mkdir { path, .. } | Operation::MknodFile { path, .. } | Operation::Symlink { path, .. } => {
                Some(split(path).0)
            }
            _ => None,
        };
        let is_below =
            made.filter(|directory| !directory.as_bytes().is_empty() && mounted.in_upper(directory).is_none());
        let done = mounted.pass(step)?;
        mounted.notes.extend(is_below);
        Ok(done)
    }

    fn look(&self, tree: &mut Tree, notes: &Notes) {
        for path in notes {
            if let Some(facts) = tree.get_mut(&in_tree(path)) {
                facts.identity.1 |= 1 << 40;
            }
        }
    }
}
