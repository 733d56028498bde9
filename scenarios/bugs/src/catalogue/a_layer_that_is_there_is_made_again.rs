//! A new container has the files of one that was removed in the midst of a crash.
//!
//! Origin: CR-11. containers/storage 2a3194c47: that a layer's directory was there already was no error when it was made.

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn create(&self, driver: &dyn Driver, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        let is_there = driver.all()?.iter().any(|known| known == id);
        if is_there { Ok(()) } else { driver.create(id, parent) }
    }
}
