//! Whoever was only to look at a layer changes it.
//!
//! Origin: PM-12. containerd 1723444ba and f3daf32c7; containers/storage cb480947e and 3413af3fc: a view was mounted to be written.

use layerlab_engine::driver::{Driver, DriverError, View};

use crate::bug::{Bug, Home};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn view(&self, driver: &dyn Driver, id: &str) -> Result<View, DriverError> {
        driver.edit(id)
    }
}
