//! A file has another inode number when a link to it was made.
//!
//! Origin: IN-02. tursodatabase/agentfs#203: `link` copied up and told the copy's number.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Mounted, Notes, in_tree};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let is_below = match &step.operation {
            Operation::Link { from, .. } => mounted.in_upper(from).is_none(),
            _ => false,
        };
        let done = mounted.pass(step)?;
        if let (Operation::Link { from, to }, true) = (&step.operation, is_below) {
            mounted.notes.extend([from.clone(), to.clone()]);
        }
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
