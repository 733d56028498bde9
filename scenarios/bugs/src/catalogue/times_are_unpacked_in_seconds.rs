//! Files of an image have lost the fractions of their times, and programs that compare them behave otherwise.
//!
//! Origin: TS-02. moby/moby#40004; containers/storage 38ce897d7.

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
            entries.iter_mut().for_each(|entry| drop(entry.pax.remove("mtime")));
        })
    }
}
