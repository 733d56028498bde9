//! Layers of images that somebody reads for a while, such as a `save`: they stay until nobody does.
//!
//! As with dockerd, an image that is removed meanwhile is gone at once, with its names; only its layers stay. The note of their
//! removal stays too (`intent.rs`), and the next command that sweeps, which is the reader itself unless it was killed, removes
//! them. A lease is a shared lock on the layer's record, taken under the store's lock and given up by the kernel.

use super::{Engine, EngineError};
use crate::image::Digest;
use crate::layer::chain_ids;
use crate::store::{Asked, Hold, Lock, StoreError};

/// Images whose layers stay while this lives. When it goes, what was to be removed meanwhile is.
pub struct Lease<'e> {
    engine: &'e Engine,
    locks: Vec<Lock>,
}

impl Engine {
    /// Keeps all layers of some images from being removed. `lock` is the store's, and is given up here: what a lease leaves to be
    /// removed is removed under that lock, so nobody may have both.
    pub(super) fn lease<'i>(
        &self,
        lock: Lock,
        images: impl IntoIterator<Item = &'i Digest>,
    ) -> Result<Lease<'_>, EngineError> {
        let mut locks = Vec::new();
        for image in images {
            for chain_id in chain_ids(&self.image_config(image)?.view().rootfs.diff_ids) {
                match self.store.layers.ask_for(&chain_id, Hold::Shared)? {
                    Asked::Held(lock) => locks.push(lock),
                    Asked::Gone | Asked::Busy => return Err(StoreError::NoSuchLayer(chain_id).into()),
                }
            }
        }
        drop(lock);
        Ok(Lease { engine: self, locks })
    }

    /// Keeps those layers of a chain that are here, from its base up to the first that is missing, and says how many they are.
    /// Nobody who removes an image takes them away then from another one that is to be made of them. `lock` as above.
    pub(super) fn lease_here(&self, lock: Lock, chain: &[Digest]) -> Result<(usize, Lease<'_>), EngineError> {
        let mut locks = Vec::new();
        for chain_id in chain {
            match self.store.layers.ask_for(chain_id, Hold::Shared)? {
                // What a record does not tell is not here.
                Asked::Held(lock) if self.store.layers.get(chain_id).is_ok() => locks.push(lock),
                _ => break,
            }
        }
        drop(lock);
        Ok((locks.len(), Lease { engine: self, locks }))
    }

    /// Whether somebody reads the layer `chain_id`. To be called under the store's lock.
    pub(super) fn is_leased(&self, chain_id: &Digest) -> Result<bool, EngineError> {
        Ok(matches!(self.store.layers.ask_for(chain_id, Hold::AloneNow)?, Asked::Busy))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.locks.clear();
        let swept = || -> Result<(), EngineError> {
            if self.engine.has_intents()? {
                let _lock = self.engine.store.lock()?;
                self.engine.sweep()?;
            }
            Ok(())
        };
        if let Err(error) = swept() {
            tracing::error!(%error, "the layers of a removed image could not be removed");
        }
    }
}
