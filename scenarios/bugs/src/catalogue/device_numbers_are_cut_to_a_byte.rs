//! A device with a high number is another device in the next container.
//!
//! Origin: TR-11. moby/go-archive d40cb3c: numbers were put together as if each had eight bits.

use std::io;

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Packed;

use crate::bug::{Bug, Home};
use crate::tars::packed_otherwise;

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
                if let Ok(Some(minor)) = entry.header.device_minor() {
                    entry.change(|header| drop(header.set_device_minor(minor & 0xff)));
                }
            }
        })
    }
}
