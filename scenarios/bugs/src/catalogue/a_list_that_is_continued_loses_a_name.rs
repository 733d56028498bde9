//! A program that reads a directory in parts misses a file.
//!
//! Origin: RD-02. containers/fuse-overlayfs 4266f68: positions counted in an order that was another after each opening.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        match (&step.operation, mounted.pass(step)?) {
            (Operation::List { .. }, Answer::Names(mut names)) if names.len() > 3 => {
                names.pop();
                Ok(Answer::Names(names))
            }
            (_, done) => Ok(done),
        }
    }
}
