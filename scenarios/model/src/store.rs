//! A store of images in memory: layers under their chain IDs, counted by who needs them.
//!
//! *Source*: the OCI image-spec's `config.md` ("Layer DiffID", "Layer ChainID"), Docker's `layerdb`. *Holds*: two images share a
//! layer exactly when its chain ID is the same in both; what nothing reaches is gone. *Never*: what is in a layer.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

/// A digest as text: `sha256:` and 64 hexadecimal digits.
pub type Id = String;

/// The digest of `bytes`.
pub fn digest(bytes: &[u8]) -> Id {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The chain ID of each layer of a stack, the lowest first: the lowest one's is its diff ID, any other's is the digest of the
/// chain ID below, a blank, and its own diff ID.
pub fn chain_ids(diff_ids: &[Id]) -> Vec<Id> {
    let mut chain = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let id = match chain.last() {
            None => diff_id.clone(),
            Some(below) => digest(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(id);
    }
    chain
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Layer {
    diff_id: Id,
    below: Option<Id>,
    /// Images and layers that stand on it.
    users: usize,
}

/// The store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Store {
    layers: BTreeMap<Id, Layer>,
    images: BTreeMap<Id, Vec<Id>>,
}

/// There is no such image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoSuchImage(pub Id);

impl Store {
    /// Takes in an image of these layers, the lowest first; the chain IDs of those that were not there.
    pub fn add(&mut self, image: Id, diff_ids: &[Id]) -> Vec<Id> {
        if self.images.contains_key(&image) {
            return Vec::new();
        }
        let chain = chain_ids(diff_ids);
        let mut new = Vec::new();
        for (position, (id, diff_id)) in chain.iter().zip(diff_ids).enumerate() {
            if self.layers.contains_key(id) {
                continue;
            }
            let below = position.checked_sub(1).map(|below| chain[below].clone());
            if let Some(layer) = below.as_ref().and_then(|below| self.layers.get_mut(below)) {
                layer.users += 1;
            }
            self.layers.insert(id.clone(), Layer { diff_id: diff_id.clone(), below, users: 0 });
            new.push(id.clone());
        }
        if let Some(layer) = chain.last().and_then(|top| self.layers.get_mut(top)) {
            layer.users += 1;
        }
        self.images.insert(image, diff_ids.to_vec());
        new
    }

    /// Removes an image; the chain IDs of the layers that went with it, the highest first.
    pub fn remove(&mut self, image: &Id) -> Result<Vec<Id>, NoSuchImage> {
        let diff_ids = self.images.remove(image).ok_or_else(|| NoSuchImage(image.clone()))?;
        let mut gone = Vec::new();
        let mut next = chain_ids(&diff_ids).pop();
        while let Some(id) = next.take() {
            let Some(layer) = self.layers.get_mut(&id) else { break };
            layer.users -= 1;
            if layer.users > 0 {
                break;
            }
            next = self.layers.remove(&id).and_then(|layer| layer.below);
            gone.push(id);
        }
        Ok(gone)
    }

    /// The images, sorted.
    pub fn images(&self) -> impl Iterator<Item = &Id> {
        self.images.keys()
    }

    /// The chain IDs of all layers, sorted.
    pub fn layers(&self) -> BTreeSet<&Id> {
        self.layers.keys().collect()
    }

    /// The chain IDs of what the images need, found by asking each of them: without counting, to check the counting.
    pub fn reachable(&self) -> BTreeSet<Id> {
        self.images.values().flat_map(|diff_ids| chain_ids(diff_ids)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_are_the_specs() {
        let ids = ["a", "b", "c"].map(|letter| digest(letter.as_bytes()));
        let chain = chain_ids(&ids);
        assert_eq!(chain[0], ids[0]);
        assert_eq!(chain[1], digest(format!("{} {}", ids[0], ids[1]).as_bytes()));
        assert_eq!(chain[2], digest(format!("{} {}", chain[1], ids[2]).as_bytes()));
    }

    /// Of an image that a dockerd 20.10 pulled: its `layerdb` has these names.
    #[test]
    fn chain_ids_are_dockerds() {
        let id = |hex: &str| format!("sha256:{hex}");
        let diff_ids = [
            id("7076f569dc8c4a876f62c30c6034b9ab7c3333151b02c4af3b9e7d7ae5d631be"),
            id("77c615b2eba6385615b3177eca01ebbf7fb3f863862b2157d861a0f3347e9515"),
        ];
        let above = id("68e068181be85c476c96b362a7c2292aa5cd46d19216ab47bef582a4b0725992");
        assert_eq!(chain_ids(&diff_ids), [diff_ids[0].clone(), above]);
    }

    #[test]
    fn a_layer_goes_with_the_last_image_that_needs_it() {
        let [a, b, c] = ["a", "b", "c"].map(|letter| digest(letter.as_bytes()));
        let mut store = Store::default();
        assert_eq!(store.add("one".into(), &[a.clone(), b.clone()]).len(), 2);
        assert_eq!(store.add("two".into(), &[a.clone(), c.clone()]).len(), 1);
        assert_eq!(store.add("three".into(), &[a.clone(), b]).len(), 0);
        assert_eq!(store.remove(&"one".into()).unwrap().len(), 0);
        assert_eq!(store.remove(&"two".into()).unwrap().len(), 1);
        assert_eq!(store.remove(&"three".into()).unwrap().len(), 2);
        assert!(store.layers().is_empty() && store.remove(&"three".into()).is_err());
    }
}
