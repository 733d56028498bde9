//! A directory that was replaced by another has lost the mode and owner it was given.
//!
//! Origin: OP-01. moby/moby#27298, mended by #27705 and #29093: the header of the opaque mark took the place of the directory's own.

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
            let marks = entries.iter().map(Entry::path);
            let opaque: Vec<_> = marks.filter_map(|path| path.strip_suffix(b"/.wh..wh..opq").map(<[u8]>::to_vec)).collect();
            let is_opaque = |entry: &&mut Entry| opaque.iter().any(|path| entry.path().strip_suffix(b"/") == Some(path));
            for entry in entries.iter_mut().filter(is_opaque) {
                entry.change(|header| {
                    header.set_mode(0o755);
                    header.set_uid(0);
                    header.set_gid(0);
                });
            }
        })
    }
}
