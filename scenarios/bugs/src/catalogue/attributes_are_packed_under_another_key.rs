//! All extended attributes are lost on the way through a layer.
//!
//! Origin: XA-08. containerd/containerd 6f944e419 (#2863): the writer wrote `SCHILY.xattrs.`.

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
                let pax = std::mem::take(&mut entry.pax);
                let renamed = pax.into_iter().map(|(key, value)| (key.replace(XATTR, "SCHILY.xattrs."), value));
                entry.pax = renamed.collect();
            }
        })
    }
}
