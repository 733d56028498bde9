//! The list of changes says that a file changed, which the image had not any more.
//!
//! Origin: DF-11. containers/storage c21a98e79: each lower layer was asked for the path, also those below the one that deletes it.

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::{Change, ChangeKind};

use crate::bug::{Bug, Home};
use crate::trees::{in_lowers, lowers};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn changes(&self, driver: &dyn Driver, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let mut found = driver.changes(id, parent)?;
        let lowers = lowers(driver, id);
        for change in found.iter_mut().filter(|change| change.kind == ChangeKind::Added) {
            if in_lowers(&lowers, &change.path).is_some() {
                change.kind = ChangeKind::Modified;
            }
        }
        Ok(found)
    }
}
