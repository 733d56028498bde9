//! Of several extended attributes of a file, all but one are lost.
//!
//! Origin: XA-01. containers/storage a8686fcb4: the map of attributes was made anew within the loop over their names.

use std::io;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Packed;

use crate::bug::{Bug, Home};
use crate::tars::{XATTR, packed_otherwise};

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
            for entry in entries.iter_mut() {
                let names: Vec<_> = entry.pax.keys().filter(|key| key.starts_with(XATTR)).cloned().collect();
                names.iter().rev().skip(1).for_each(|name| drop(entry.pax.remove(name)));
            }
        })
    }
}
