//! What is written into a file right after it was opened to be emptied is lost.
//!
//! Origin: CC-02. The review of DragonOS's pull request 2025 (d75f964d): the file was copied up, everybody could open it, and then it was emptied. Here it is
//! emptied after the next write, so that nobody has to hit the moment.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step, Target};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let copied = mounted.copied_up_by(step);
        let done = mounted.pass(step)?;
        match &step.operation {
            Operation::Open { flags, .. } if flags.truncate => mounted.notes.extend(copied),
            Operation::Write { .. } => {
                for path in std::mem::take(mounted.notes) {
                    // Somebody may have deleted it meanwhile.
                    let _ = mounted.also(Operation::Truncate { target: Target::Path(path), length: 0 });
                }
            }
            _ => {}
        }
        Ok(done)
    }
}
