//! `layers on disk = { chain IDs of all images }`: two images share a layer exactly when its chain ID is the same in both; each lies in
//! a directory of its own, on the layer that its chain ID says.
//!
//! Checklist: DL-14, GC-02, CR-01

use std::collections::{BTreeMap, BTreeSet};

use layerlab_model::store::chain_ids;

use super::{Law, Moment, Watch, Weights};
use crate::laws::{Verdict, verdict};

pub static LAW: Shared = Shared;

pub struct Shared;

impl Law for Shared {
    fn name(&self) -> &'static str {
        "layers-are-shared-by-chain-id"
    }

    fn weights(&self) -> Weights {
        Weights { loads: 16, flattenings: 4, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        let expected: BTreeSet<&String> = moment.model.store().layers();
        let actual: BTreeSet<&String> = moment.shelf.layers.keys().collect();
        let missing = expected.difference(&actual).map(|id| format!("the layer {id} should be there"));
        let too_many = actual.difference(&expected).map(|id| format!("the layer {id} should not be there"));
        let mut found: Vec<String> = missing.chain(too_many).collect();
        let mut owners: BTreeMap<&String, &String> = BTreeMap::new();
        for (id, layer) in &moment.shelf.layers {
            if let Some(other) = owners.insert(&layer.cache_id, id) {
                found.push(format!("{id} and {other} lie in one directory, {}", layer.cache_id));
            }
        }
        for image in moment.model.all().values() {
            let chain = chain_ids(&image.diff_ids);
            for (number, id) in chain.iter().enumerate() {
                let below = number.checked_sub(1).map(|below| &chain[below]);
                let actual = moment.shelf.layers.get(id).map(|layer| layer.below.as_ref());
                if actual.is_some_and(|actual| actual != below) {
                    found.push(format!("{id} lies on {actual:?}, should lie on {below:?}"));
                }
            }
        }
        verdict(found)
    }
}
