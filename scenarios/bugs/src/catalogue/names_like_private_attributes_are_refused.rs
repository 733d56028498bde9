//! An attribute whose name only begins like the driver's own cannot be set.
//!
//! Origin: XA-06. Linux before fe2b75952347 (xfstests overlay/026): the prefix was compared without its last dot.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        match &step.operation {
            Operation::SetXattr { name, .. } if name.as_bytes().starts_with(b"trusted.overlay") => Err(Errno::PERM),
            _ => mounted.pass(step),
        }
    }
}
