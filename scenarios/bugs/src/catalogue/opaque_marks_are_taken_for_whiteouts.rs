//! A directory that was replaced shows what the one before it had.
//!
//! Origin: OP-06. concourse/registry-image-resource#267, mended by #284: `.wh.` was stripped before the test for the mark, so that the mark deleted a file `.wh..opq`.

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
            entries.retain(|entry| entry.name() != b".wh..wh..opq");
        })
    }
}
