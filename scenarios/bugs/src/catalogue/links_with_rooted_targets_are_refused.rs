//! An image with hard links whose targets begin with a slash cannot be pulled.
//!
//! Origin: AP-09. moby/go-archive#99, mended by #100: such targets were taken for an attack.

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
            for entry in entries.iter_mut().filter(|entry| entry.header.entry_type().is_hard_link()) {
                if entry.link().starts_with(b"/") {
                    entry.become_link_to(b"../outside");
                }
            }
        })
    }
}
