//! `diff(layer) = diff(layer)`, to the last byte: whoever packs a layer twice has one digest, and it is the digest of the bytes.
//!
//! Checklist: N-09~

use layerlab_model::operation::Operation;
use layerlab_model::store;

use super::{Judged, Law, Verdict, Watch, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::subjects::Diff;

pub static LAW: Deterministic = Deterministic;

pub struct Deterministic;

impl Law for Deterministic {
    fn name(&self) -> &'static str {
        "diffs-are-deterministic"
    }

    fn weights(&self) -> Weights {
        Weights { commit: 12, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.step.operation != Operation::Commit {
            return Ok(Judged::NotAsked);
        }
        let Some(frozen) = &moment.frozen else { return without_tars(moment) };
        let (once, again) = (frozen.newest_tar(Diff::Own)?, frozen.newest_tar(Diff::Own)?);
        let digest = store::digest(&once.bytes);
        let is_other =
            (once != again).then(|| format!("the layer is {}, and {} the next time", once.diff_id, again.diff_id));
        let is_wrong =
            (digest != once.diff_id).then(|| format!("the layer's bytes are {digest}, called {}", once.diff_id));
        verdict(is_other.into_iter().chain(is_wrong))
    }
}
