//! Who needs an image or a layer: counted once under the store's lock, and kept true while images are removed under the same one.

use std::collections::HashMap;

use super::{Engine, EngineError};
use crate::image::{Digest, ImageConfig};
use crate::layer::chain_ids;

/// How many need each.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Images and containers, by the chain ID of each layer that they lie on.
    layers: HashMap<Digest, usize>,
    /// Images that were made from an image, by its ID.
    children: HashMap<Digest, usize>,
}

impl Needs {
    pub(super) fn is_layer_needed(&self, chain_id: &Digest) -> bool {
        self.layers.contains_key(chain_id)
    }

    pub(super) fn has_children(&self, image: &Digest) -> bool {
        self.children.contains_key(image)
    }

    /// An image is gone that was made from `parent`.
    pub(super) fn forget(&mut self, config: &ImageConfig, parent: Option<&Digest>) {
        chain_ids(&config.view().rootfs.diff_ids).iter().for_each(|chain_id| less(&mut self.layers, chain_id));
        parent.into_iter().for_each(|parent| less(&mut self.children, parent));
    }
}

fn less(counts: &mut HashMap<Digest, usize>, id: &Digest) {
    if let Some(count) = counts.get_mut(id) {
        *count -= 1;
        if *count == 0 {
            counts.remove(id);
        }
    }
}

impl Engine {
    /// Counts it, under the store's lock.
    pub(super) fn needs(&self) -> Result<Needs, EngineError> {
        let mut needs = Needs::default();
        for image in self.store.images.all()? {
            for chain_id in chain_ids(&self.image_config(&image)?.view().rootfs.diff_ids) {
                *needs.layers.entry(chain_id).or_default() += 1;
            }
            if let Some(parent) = self.store.images.parent(&image)? {
                *needs.children.entry(parent).or_default() += 1;
            }
        }
        for (_, mount) in self.store.layers.mounts()? {
            if let Some(parent) = mount.parent {
                for layer in self.store.layers.chain(&parent)? {
                    *needs.layers.entry(layer.chain_id).or_default() += 1;
                }
            }
        }
        Ok(needs)
    }
}
