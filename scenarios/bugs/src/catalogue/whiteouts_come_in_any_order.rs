//! Two commits of one container are two layers.
//!
//! Origin: TR-06. GoogleContainerTools/kaniko 699a4bee3: whiteouts were read from a hash set.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bug::{Bug, Home};
use crate::tars::Entry;

static CALLS: AtomicUsize = AtomicUsize::new(0);

pub struct It;
pub static BUG: It = It;

impl Bug for It {
    fn home(&self) -> Home {
        Home::Driver("overlay2")
    }

    fn packed(&self, entries: &mut Vec<Entry>) {
        // A hash set begins elsewhere each time.
        let is_turned = CALLS.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        let (mut whiteouts, others): (Vec<_>, Vec<_>) = entries.drain(..).partition(Entry::is_whiteout);
        if is_turned {
            whiteouts.reverse();
        }
        entries.extend(others.into_iter().chain(whiteouts));
    }
}
