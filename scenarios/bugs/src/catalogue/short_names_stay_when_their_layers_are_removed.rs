//! A store that images come to and go from has ever more links to what is gone.
//!
//! Origin: GC-01. moby e6f2e7646c; containers/storage 2581a719d and 03d030b75: a removed layer's short name in `l/` stayed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Store("overlay2")
    }

    fn remove(&self, driver: &dyn Driver, id: &str) -> Result<(), DriverError> {
        let files = driver.own_files(id);
        let (layer, home) = (files.parent().unwrap_or(&files), files.ancestors().nth(2).unwrap_or(&files));
        let name = fs::read_to_string(layer.join("link"));
        driver.remove(id)?;
        let failed = |source| DriverError::Io { operation: "leave the short name of", path: id.into(), source };
        let stays = |name: String| symlink(Path::new("..").join(id).join("diff"), home.join("l").join(name));
        name.map_or(Ok(()), stays).map_err(failed)
    }
}
