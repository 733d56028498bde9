//! A link and its target in one directory come apart when the layer is unpacked elsewhere.
//!
//! Origin: TR-04. containers/buildah#2607, mended by #2598: the target was written relative to the link's own directory.

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
            for entry in entries.iter_mut().filter(|entry| entry.header.entry_type().is_hard_link()) {
                let (path, target) = (entry.path(), entry.link());
                let directory = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                if path[..directory(&path)] == target[..directory(&target)] && directory(&path) > 0 {
                    entry.become_link_to(&target[directory(&target) + 1..]);
                }
            }
        })
    }
}
