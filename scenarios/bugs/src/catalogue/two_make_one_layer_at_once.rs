//! Of two pulls at once each lays its own files into one layer.
//!
//! Origin: CC-07. moby/moby#9718 and #13971; kubernetes#10623; containerd#1041; CVE-2024-36621: that a layer was not there yet was found before, and nobody
//! was kept out until it was.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home};

/// From the look to the making.
const WINDOW: Duration = Duration::from_millis(5);

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn adopt(&self, driver: &dyn Driver, id: &str, parent: Option<&str>, content: &Path) -> Result<(), DriverError> {
        let is_there = || Ok::<_, DriverError>(driver.all()?.iter().any(|known| known == id));
        let was_there = is_there()?;
        thread::sleep(WINDOW);
        let made = driver.adopt(id, parent, content);
        if was_there || made.is_ok() || !is_there()? {
            return made;
        }
        let into = driver.own_files(id);
        let lay = |path: &Path| fs::rename(path, into.join(path.file_name().unwrap_or_default()));
        let laid = fs::read_dir(content).and_then(|mut all| all.try_for_each(|entry| lay(&entry?.path())));
        laid.map_err(|source| DriverError::Io {
            operation: "lay the files of another into",
            path: into.clone(),
            source,
        })
    }
}
