//! `apply(diff(layer), below) = tree`: what a layer's tar carries comes out of it again, on the same driver.
//!
//! Checklist: XA-05~, HL-07, DF-02~, DF-06, SP-04, N-11~

use layerlab_model::operation::Operation;

use super::{Judged, Law, Verdict, Watch, sight, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::subjects::Diff;
use crate::tar;

pub static LAW: Applying = Applying;

pub struct Applying;

impl Law for Applying {
    fn name(&self) -> &'static str {
        "applying-a-diff-gives-the-tree"
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
        let applied = frozen.applied(&frozen.newest_tar(Diff::Own)?)?;
        let found = tar::differences(&moment.before.merged, &applied, sight(moment));
        verdict(found.iter().map(|difference| format!("applied: {difference}")))
    }
}
