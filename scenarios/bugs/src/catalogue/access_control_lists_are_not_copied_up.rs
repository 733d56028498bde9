//! A file that was closed to a group by its access control list is open to it when its time or its mode was set.
//!
//! Origin: SE-01. CVE-2016-1575: overlayfs did not maintain the access control lists of lower files.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, List, Operation, Step, Target};
use layerlab_model::text::Text;

use crate::bug::{Bug, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let copied = mounted.copied_up_by(step).filter(|_| !matches!(step.operation, Operation::SetAcl { .. }));
        let done = mounted.pass(step)?;
        if let Some(path) = copied {
            for list in [List::Access, List::Default] {
                let name = Text::from(list.xattr().as_bytes());
                // Most have none.
                let _ = mounted.also(Operation::RemoveXattr { target: Target::Path(path.clone()), name });
            }
        }
        Ok(done)
    }
}
