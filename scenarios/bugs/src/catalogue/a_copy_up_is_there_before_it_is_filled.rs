//! Whoever reads a file that another has just opened to write finds it empty.
//!
//! Origin: CC-01. DragonOS#2002, mended in its pull request 2025: copy-up made the file at its name and filled it then. Here it is filled when something is
//! changed the next time, so that nobody has to hit the moment.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_properties::tree::Tree;

use crate::bug::{Bug, Layers, Mounted, Notes, in_tree};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let only_looks = match &step.operation {
            Operation::Open { flags, .. } => !flags.access.writes(),
            Operation::Read { .. } | Operation::ReadLink { .. } | Operation::List { .. } | Operation::Close { .. } => {
                true
            }
            _ => false,
        };
        if !only_looks {
            mounted.notes.clear();
        }
        let copied = mounted.copied_up_by(step).filter(|_| matches!(step.operation, Operation::Open { .. }));
        let done = mounted.pass(step)?;
        mounted.notes.extend(copied);
        Ok(done)
    }

    fn look(&self, tree: &mut Tree, notes: &Notes) {
        for path in notes {
            if let Some(facts) = tree.get_mut(&in_tree(path)) {
                facts.content.clear();
            }
        }
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        layers.notes.clear();
        Ok(())
    }
}
