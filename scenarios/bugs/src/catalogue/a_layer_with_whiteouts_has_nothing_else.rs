//! A layer in which something was deleted lacks the files that were written.
//!
//! Origin: DF-20. opencontainers/umoci#572: a `continue` stood behind the branch for whiteouts, for four years.

use std::io;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Packed;

use crate::bug::{Bug, Home};
use crate::tars::{Entry, packed_otherwise};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn pack(
        &self,
        driver: &dyn Driver,
        id: &str,
        parent: Option<&str>,
        out: &mut dyn io::Write,
    ) -> Result<Packed, DriverError> {
        packed_otherwise(driver, id, parent, out, |entries| {
            if entries.iter().any(Entry::is_whiteout) {
                entries.retain(|entry| entry.is_whiteout() || entry.header.entry_type().is_dir());
            }
        })
    }
}
