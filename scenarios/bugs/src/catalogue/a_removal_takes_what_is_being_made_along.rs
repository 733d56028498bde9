//! A container whose layer was made while another was removed has none.
//!
//! Origin: CC-05. containerd 94cf25f7d and e940b5ac1: what was in no index counted as left, and a layer came into the index after its directory was made.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home};

/// How long a layer is in no index yet.
const WINDOW: Duration = Duration::from_millis(20);

/// The layers of which that is so, by their directories.
static UNKNOWN: Mutex<BTreeMap<PathBuf, String>> = Mutex::new(BTreeMap::new());

fn unknown() -> MutexGuard<'static, BTreeMap<PathBuf, String>> {
    UNKNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn create(&self, driver: &dyn Driver, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        driver.create(id, parent)?;
        unknown().insert(driver.own_files(id), id.to_owned());
        thread::sleep(WINDOW);
        unknown().remove(&driver.own_files(id));
        Ok(())
    }

    fn remove(&self, driver: &dyn Driver, id: &str) -> Result<(), DriverError> {
        driver.remove(id)?;
        let left: Vec<(PathBuf, String)> = unknown().clone().into_iter().collect();
        let of_this = left.into_iter().filter(|(path, left)| *path == driver.own_files(left));
        of_this.map(|(_, left)| left).try_for_each(|left| driver.remove(&left))
    }
}
