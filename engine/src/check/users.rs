//! Who uses a layer just now: containers that run on it, commands that read it or a container's files through it.

use std::collections::BTreeSet;

use super::books::Books;
use super::place::Place;
use super::repair::RepairError;
use crate::image::Digest;
use crate::store::{Asked, Hold, Lock};

impl Books {
    /// Whether a container's layers are mounted, or about to be: it runs, or a command reads or changes its files (`engine/src/container/layer_lock.rs`).
    pub(super) fn is_used(&self, place: &Place, container: &str) -> bool {
        self.is_watched(place, container)
            || self.survivor(container).is_some()
            || matches!(Lock::ask(&place.mounts().join(container), Hold::AloneNow), Ok(Asked::Busy))
    }

    fn is_on(&self, container: &str, chain: &Digest) -> bool {
        let mut seen = BTreeSet::new();
        let mut next = self.top_of_container(container);
        while let Some(layer) = next.filter(|layer| seen.insert(layer.clone())) {
            if layer == *chain {
                return true;
            }
            next = self.parent(&layer);
        }
        false
    }
}

/// Whether a command reads the layer `chain`, or relies on it being here (`engine/src/container/lease.rs`). To be asked under the store's lock,
/// without which nobody begins to.
pub(super) fn is_leased(place: &Place, chain: &Digest) -> bool {
    matches!(Lock::ask(&place.chains().join(chain.hex()), Hold::AloneNow), Ok(Asked::Busy))
}

/// Refuses to change the files of the layer `chain` while somebody uses them. To be called under the store's lock, with books read under it.
pub(super) fn free(place: &Place, books: &Books, chain: &Digest) -> Result<(), RepairError> {
    match books.mounts.keys().find(|container| books.is_on(container, chain) && books.is_used(place, container)) {
        Some(container) => Err(RepairError::InUse(container.clone())),
        None if is_leased(place, chain) => Err(RepairError::Read),
        None => Ok(()),
    }
}
