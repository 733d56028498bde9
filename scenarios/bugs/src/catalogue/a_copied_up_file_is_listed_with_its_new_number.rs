//! Programs that compare the inode number of a directory's entry with the file's find two files.
//!
//! Origin: IN-01. containers/fuse-overlayfs#391, 62abdcf and 7095cc2; Linux (xfstests overlay/038 and 041).

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step, Target};
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Mounted, Notes, in_tree};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let path = match &step.operation {
            Operation::Chmod { target: Target::Path(path), .. } if mounted.in_upper(path).is_none() => {
                Some(path.clone())
            }
            _ => None,
        };
        let done = mounted.pass(step)?;
        mounted.notes.extend(path);
        Ok(done)
    }

    fn look(&self, tree: &mut Tree, notes: &Notes) {
        for path in notes {
            if let Some(facts) = tree.get_mut(&in_tree(path)) {
                facts.is_listed_with_its_inode = false;
            }
        }
    }
}
