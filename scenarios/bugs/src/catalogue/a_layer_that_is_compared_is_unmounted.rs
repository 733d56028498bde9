//! A container loses its root file system when somebody asks what it changed.
//!
//! Origin: GC-05. moby/moby#22116, mended by #22168; also #21107 and bfeac1419: who compared a layer gave back a mount that was another's.

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Change;

use crate::bug::{Bug, Home};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn changes(&self, driver: &dyn Driver, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let found = driver.changes(id, parent)?;
        driver.detach(id)?;
        Ok(found)
    }
}
