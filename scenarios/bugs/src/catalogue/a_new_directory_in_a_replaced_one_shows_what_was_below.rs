//! A directory that is made anew in one that took the place of another is not empty, and cannot be removed.
//!
//! Origin: OP-05. containers/fuse-overlayfs#478: what lay below was looked up by the path again, though the directory above hides it.

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::text::Text;

use crate::bug::{Bug, Home, Mounted, split};

/// Whether something was moved away from a directory above `path`.
fn is_within_a_moved_one(mounted: &Mounted<'_>, path: &Text) -> bool {
    let mut above = split(path).0;
    while !above.as_bytes().is_empty() {
        if mounted.notes.contains(&above) {
            return true;
        }
        above = split(&above).0;
    }
    false
}

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Mount("overlay-redirect")
    }

    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let done = mounted.pass(step)?;
        match &step.operation {
            Operation::Rename { from, .. } => drop(mounted.notes.insert(from.clone())),
            Operation::Mkdir { path, .. } if is_within_a_moved_one(mounted, path) => {
                for name in mounted.names_in_lowers(path) {
                    // What cannot be made is none of the bug's.
                    let _ = mounted.also(Operation::MknodFile { path: path.join(&name), mode: 0o644 });
                }
            }
            _ => {}
        }
        Ok(done)
    }
}
