//! `image ID = digest(configuration)`, `chain ID(n) = digest(chain ID(n-1) diff ID(n))`, `diff ID = digest(tar)`, and all of them are
//! the same after save and load in another store, where a container of the image has the same tree. An image there whose digests are none, or that
//! asks for more memory than there is, is refused, and leaves nothing.
//!
//! *Source*: the OCI image-spec's `config.md`, "Layer DiffID", "Layer ChainID", "ImageID".
//!
//! Checklist: ID-01, ID-08~, GC-09~, N-09~

use layerlab_model::store::{chain_ids, digest};

use super::{Law, Moment, Watch, Weights, is_engines};
use crate::laws::{Verdict, verdict};
use crate::stores::Carried;

pub static LAW: Ids = Ids;

pub struct Ids;

impl Law for Ids {
    fn name(&self) -> &'static str {
        "ids-survive-every-journey"
    }

    fn weights(&self) -> Weights {
        Weights { commits: 10, journeys: 10, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        let mut found = Vec::new();
        for (id, config) in &moment.shelf.images {
            if digest(config) != *id {
                found.push(format!("the configuration of {id} has the digest {}", digest(config)));
            }
            let diff_ids = moment.shelf.diff_ids(id).unwrap_or_default();
            for (number, chain_id) in chain_ids(&diff_ids).iter().enumerate() {
                match moment.shelf.layers.get(chain_id) {
                    None => found.push(format!("{id} has no layer {chain_id}")),
                    Some(layer) if layer.diff_id != diff_ids[number] => {
                        found.push(format!("{chain_id} is of {}, by its image of {}", layer.diff_id, diff_ids[number]));
                    }
                    Some(_) => {}
                }
            }
            let parent = moment.model.all().get(id).and_then(|image| moment.model.all().get(image.parent.as_ref()?));
            if parent.is_some_and(|parent| !diff_ids.starts_with(&parent.diff_ids)) {
                found.push(format!("{id} does not begin with the layers of the image that it was made from"));
            }
        }
        found.extend(moment.carried.iter().flat_map(|carried| lost(carried, moment)));
        verdict(found)
    }
}

/// What an image lost on its way.
fn lost(carried: &Carried, moment: &Moment<'_>) -> Vec<String> {
    let id = &carried.id;
    let mut found = carried.of_forged.clone();
    if carried.there.images.get(id) != moment.shelf.images.get(id) {
        let there: Vec<&String> = carried.there.images.keys().collect();
        found.push(format!("{id} was saved and loaded elsewhere, and is {there:?} there"));
    }
    let diff_ids = moment.shelf.diff_ids(id).unwrap_or_default();
    if carried.layers != diff_ids {
        found.push(format!("{id} has the layers {diff_ids:?}, its archive the tars {:?}", carried.layers));
    }
    let [here, there] = &carried.trees;
    let changed = here.iter().filter(|one| !is_engines(one.path.as_bytes()) && !there.contains(one));
    found.extend(changed.map(|one| format!("{} of a container of {id} is another where it was loaded", one.path)));
    if here.len() != there.len() {
        found.push(format!("a container of {id} has {} entries, {} where it was loaded", here.len(), there.len()));
    }
    found
}
