//! A hard link is another file than the one it was made of, with an inode number of its own.
//!
//! Origin: HL-01. cloud-hypervisor/fuse-backend-rs#210: `link` of its overlay inserted a new node for the new name.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::text::Text;
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Mounted, Notes};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let done = mounted.pass(step)?;
        if let Operation::Link { to, .. } = &step.operation {
            mounted.notes.insert(to.clone());
        }
        Ok(done)
    }

    fn look(&self, tree: &mut Tree, notes: &Notes) {
        for (path, facts) in tree.iter_mut() {
            if notes.contains(&Text([b"/", path.as_bytes()].concat())) {
                facts.identity.1 += 1 << 40;
            }
        }
    }
}
