//! A device of an image with a high number is another device in the container.
//!
//! Origin: TR-11. moby/go-archive d40cb3c: `makedev` put together eight bits of each.

use std::io;
use std::path::Path;

use layerlab_engine::driver::Driver;
use layerlab_engine::layer::{Owners, UnpackError, Unpacked};

use crate::bug::{Bug, Home};
use crate::tars::unpacked_otherwise;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(
        &self,
        driver: &dyn Driver,
        tar: &mut dyn io::Read,
        content: &Path,
        owners: Owners,
        record: &mut dyn io::Write,
    ) -> Result<Unpacked, UnpackError> {
        unpacked_otherwise(driver, tar, content, owners, record, |entries| {
            for entry in entries.iter_mut() {
                if let Ok(Some(minor)) = entry.header.device_minor() {
                    entry.change(|header| drop(header.set_device_minor(minor & 0xff)));
                }
            }
        })
    }
}
