//! After a power cut a new container has the store's own links in the place of its image's files, or cannot be mounted.
//!
//! Origin: CR-13. moby de2447c2ab and the thread of #44909: a layer's short name was read from a file that had been emptied, and joined to a path as it was.

use std::fs;

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn create(&self, driver: &dyn Driver, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        let link = parent.map(|parent| driver.own_files(parent).with_file_name("link"));
        let Some(link) = link.filter(|link| fs::metadata(link).is_ok_and(|meta| meta.len() == 0)) else {
            return driver.create(id, parent);
        };
        let note = |text: &str| {
            fs::write(&link, text).map_err(|source| DriverError::Io { operation: "write", path: link.clone(), source })
        };
        // The directory in which short names lie, as the empty one leads to.
        note(".")?;
        let made = driver.create(id, parent);
        note("")?;
        made
    }
}
