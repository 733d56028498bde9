//! A container of an image with many layers lacks what the lowest of them has.
//!
//! Origin: ML-02. moby/moby#26380; moby/buildkit#4810; containers/storage#1375: what stood in no page of mount options was dropped. That is so
//! with forty layers or more; here five are too many, so that it is shown in few steps.

use std::fs;

use layerlab_engine::driver::{Driver, DriverError};

use crate::bug::{Bug, Home};

/// How many lower layers there is room for.
const ROOM: usize = 4;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn create(&self, driver: &dyn Driver, id: &str, parent: Option<&str>) -> Result<(), DriverError> {
        driver.create(id, parent)?;
        let lower = driver.own_files(id).with_file_name("lower");
        let Ok(noted) = fs::read_to_string(&lower) else { return Ok(()) };
        let links: Vec<&str> = noted.split(':').collect();
        if links.len() <= ROOM {
            return Ok(());
        }
        let written = fs::write(&lower, links[..links.len() - 1].join(":"));
        written.map_err(|source| DriverError::Io { operation: "write", path: lower, source })
    }
}
