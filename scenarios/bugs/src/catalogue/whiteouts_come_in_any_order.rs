//! Two commits of one container are two layers.
//!
//! Origin: TR-06. GoogleContainerTools/kaniko 699a4bee3: whiteouts were read from a hash set.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use layerlab_engine::driver::{Driver, DriverError};
use layerlab_engine::layer::Packed;

use crate::bug::{Bug, Home};
use crate::tars::{Entry, packed_otherwise};

static CALLS: AtomicUsize = AtomicUsize::new(0);

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
            // A hash set begins elsewhere each time.
            let is_turned = CALLS.fetch_add(1, Ordering::Relaxed) % 2 == 1;
            let (mut whiteouts, others): (Vec<_>, Vec<_>) = entries.drain(..).partition(Entry::is_whiteout);
            if is_turned {
                whiteouts.reverse();
            }
            entries.extend(others.into_iter().chain(whiteouts));
        })
    }
}
