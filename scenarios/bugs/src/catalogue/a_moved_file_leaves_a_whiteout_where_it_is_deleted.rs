//! A file that was moved into a new directory and deleted there is still listed, and the directory cannot be removed.
//!
//! Origin: WH-03. moby/moby#9572, mended in Linux by 45d117389696 (xfstests overlay/006): the inode's origin said that there was something to hide, not its new name.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let is_from_below = match &step.operation {
            Operation::Rename { from, .. } => mounted.in_upper(from).is_none(),
            _ => false,
        };
        let done = mounted.pass(step)?;
        match &step.operation {
            Operation::Rename { to, .. } if is_from_below => drop(mounted.notes.insert(to.clone())),
            Operation::Unlink { path } if mounted.notes.remove(path) && !mounted.is_whited_out(path) => {
                mounted.white_out(path)?;
            }
            _ => {}
        }
        Ok(done)
    }
}
