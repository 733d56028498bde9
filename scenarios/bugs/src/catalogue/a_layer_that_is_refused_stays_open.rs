//! A daemon that is sent bad images runs out of descriptors, and cannot unmount what they lie on.
//!
//! Origin: GC-08. moby 5846db10af; containers/storage 76e458bfb and 7a5f2bef3; containerd 2c36c387d: who gave up did not close what was open.

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use layerlab_engine::layer::{UnpackError, Unpacked};

use crate::bug::{Bug, Home, Received};

/// What nobody closes.
static OPEN: Mutex<Vec<File>> = Mutex::new(Vec::new());
const OPEN_MAX: usize = 16;

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let unpacked = layer.unpack();
        if unpacked.is_err() {
            let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
            open.extend(File::open(layer.content));
            // The harness needs some, too.
            let too_many = open.len().saturating_sub(OPEN_MAX);
            open.drain(..too_many);
        }
        unpacked
    }
}
