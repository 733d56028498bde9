//! A directory that was replaced holds whiteouts of files it never had, which other readers show.
//!
//! Origin: OP-02. containers/fuse-overlayfs#306, mended by #309.

use std::io;

use layerlab_model::errno::Errno;
use layerlab_model::operation::{Answer, Operation, Step};

use crate::bug::{Bug, Layers, Mounted, white_out};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
        let done = mounted.pass(step)?;
        if let Operation::Unlink { path } = &step.operation
            && mounted.in_upper(path).is_none()
        {
            mounted.notes.insert(path.clone());
        }
        Ok(done)
    }

    fn unmounted(&self, layers: &mut Layers<'_>) -> io::Result<()> {
        let paths = layers.notes.iter().filter_map(|path| layers.in_upper(path));
        // Where the directory is gone, too, or the name is taken again, there is nothing to hide.
        paths.for_each(|path| drop(white_out(&path)));
        layers.notes.clear();
        Ok(())
    }
}
