//! A file with a long path is somewhere else in the container.
//!
//! Origin: TR-13. moby/moby#38634 (docker/for-linux#484), go-containerregistry#1414: the format of old tars has room for 100 bytes.

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
            entries.retain(|entry| !entry.header.entry_type().is_gnu_longname());
            entries.iter_mut().for_each(|entry| drop(entry.pax.remove("path")));
        })
    }
}
