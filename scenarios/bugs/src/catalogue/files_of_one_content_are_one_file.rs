//! Two files that hold the same have one mode, one owner and one time, and whoever changes one changes the other.
//!
//! Origin: HL-09. containers/storage 4ef5ee00a, 0f12ecea7 and bfa0c220a: what was there already was found by its content alone, and linked.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received, below};

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let unpacked = layer.unpack()?;
        let failed = layer.failed();
        let mut known: BTreeMap<Vec<u8>, PathBuf> = BTreeMap::new();
        for path in below(layer.content).map_err(failed)? {
            let meta = path.symlink_metadata().map_err(failed)?;
            if !meta.is_file() || meta.len() == 0 || meta.nlink() > 1 {
                continue;
            }
            let held = fs::read(&path).map_err(failed)?;
            match known.get(&held) {
                Some(same) => fs::remove_file(&path).and_then(|()| fs::hard_link(same, &path)).map_err(failed)?,
                None => drop(known.insert(held, path)),
            }
        }
        Ok(unpacked)
    }
}
