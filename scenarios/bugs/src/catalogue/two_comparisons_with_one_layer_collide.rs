//! Of two containers of one image that are compared with it at once, only one can be.
//!
//! Origin: CC-12. containerd 344431cdd: a comparison mounted its parent under a name that was made of the parent's alone.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Change;

use crate::bug::{Bug, Home};

/// How long a comparison takes at least.
const WINDOW: Duration = Duration::from_millis(20);

/// What is mounted for one, by its directory.
static MOUNTED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn mounted() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    MOUNTED.lock().unwrap_or_else(PoisonError::into_inner)
}

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn changes(&self, driver: &dyn Driver, id: &str, parent: &str) -> Result<Vec<Change>, DriverError> {
        let path = driver.own_files(parent).with_file_name("view");
        if !mounted().insert(path.clone()) {
            let source = io::Error::from(io::ErrorKind::AlreadyExists);
            return Err(DriverError::Io { operation: "mount a view at", path, source });
        }
        thread::sleep(WINDOW);
        let changes = driver.changes(id, parent);
        mounted().remove(&path);
        changes
    }
}
