//! A layer stays mounted for ever where the store's path has a space.
//!
//! Origin: ML-01. containerd c22effb16: the table of mounts was compared with the path as it is, and has `\040` for a space; of the kind are Linux 32db51070850 (xfstests overlay/083).

use std::os::unix::ffi::OsStrExt;

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home, Notes};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn detach(&self, driver: &dyn Driver, id: &str, _notes: &mut Notes) -> Result<(), DriverError> {
        let path = driver.attached_at(id);
        // What proc_pid_mountinfo(5) escapes is not found, and what is not mounted need not be unmounted.
        let is_found = !path.as_os_str().as_bytes().iter().any(|byte| b" \t\n\\".contains(byte));
        if is_found { driver.detach(id) } else { Ok(()) }
    }
}
