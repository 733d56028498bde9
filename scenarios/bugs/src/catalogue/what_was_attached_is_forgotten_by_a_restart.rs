//! A container that ran while its daemon was restarted stays mounted for ever.
//!
//! Origin: GC-06. moby 451f751773, f7bdb97357 and its pull requests 18329 and 29721: who is attached was counted in memory.

use std::path::PathBuf;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_model::text::Text;

use crate::bug::{Bug, Home, Notes};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn attach(&self, driver: &dyn Driver, id: &str, notes: &mut Notes) -> Result<PathBuf, DriverError> {
        notes.insert(Text::from(id.as_bytes()));
        driver.attach(id)
    }

    fn detach(&self, driver: &dyn Driver, id: &str, notes: &mut Notes) -> Result<(), DriverError> {
        let is_known = notes.remove(&Text::from(id.as_bytes()));
        if is_known { driver.detach(id) } else { Ok(()) }
    }
}
