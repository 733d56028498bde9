//! After a crash a container's files cannot be changed any more.
//!
//! Origin: CR-04. Linux before eea2fb4851e9 (xfstests overlay/024): a work directory that could not be cleared when it was mounted made the mount one to be read.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use layerlab_properties::subjects::{Stack, SubjectError};
use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_flag, fspick};

use crate::bug::Bug;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn mount(&self, stack: &mut dyn Stack) -> Result<OwnedFd, SubjectError> {
        let work = stack.work();
        let scratch = work.iter().flat_map(|work| fs::read_dir(work.join("work"))).flatten().count();
        let mounted = stack.mount()?;
        if let Some(work) = work.filter(|_| scratch > 0) {
            let read_only = || {
                let picked = fspick(&mounted, "", FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC)?;
                fsconfig_set_flag(picked.as_fd(), "ro")?;
                fsconfig_reconfigure(picked.as_fd())
            };
            read_only().map_err(SubjectError::of("mount to be read what lies above", &work))?;
        }
        Ok(mounted)
    }
}
