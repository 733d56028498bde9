//! What is deleted before anything else is done with it is there again when the container starts anew.
//!
//! Origin: WH-09. containers/fuse-overlayfs#55 (3a921aa), e9f5f04: `unlink` trusted a cached state that nobody had looked up yet.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};
use layerlab_model::text::Text;

use crate::bug::{Bug, Layers, Mounted};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let mut operation = step.operation.clone();
        let (seen, paths) = (|path: &Text| Text([b"seen ", path.as_bytes()].concat()), operation.paths_mut());
        let paths: Vec<Text> = paths.into_iter().map(|path| path.clone()).collect();
        let done = mounted.pass(step);
        if let (Operation::Unlink { path }, Ok(_)) = (&step.operation, &done)
            && !mounted.notes.contains(&seen(path))
        {
            mounted.notes.insert(path.clone());
        }
        mounted.notes.extend(paths.iter().map(seen));
        done
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        layers.without_noted_whiteouts()?;
        layers.notes.clear();
        Ok(())
    }
}
