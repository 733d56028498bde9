//! A file that was deleted is listed, and cannot be looked at.
//!
//! Origin: RD-01. containers/fuse-overlayfs#46 (libpod#2342); Linux before 9011c2791e63 (xfstests overlay/077): a directory's list was made once.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Layers, Mounted, split};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let done = mounted.pass(step)?;
        match (&step.operation, done) {
            (Operation::Unlink { path }, done) => {
                mounted.notes.insert(path.clone());
                Ok(done)
            }
            (Operation::List { path }, Answer::Names(mut names)) => {
                let gone = mounted.notes.iter().filter(|gone| {
                    split(gone).0 == *path || (split(gone).0.as_bytes().is_empty() && path.as_bytes() == b"/")
                });
                names.extend(gone.map(|gone| split(gone).1).filter(|name| !names.contains(name)).collect::<Vec<_>>());
                names.sort();
                Ok(Answer::Names(names))
            }
            (_, done) => Ok(done),
        }
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        layers.notes.clear();
        Ok(())
    }
}
