//! `apply(upper's diff) = apply(walking diff)`: reading the upper directory and comparing the two whole trees tell the same change,
//! as far as lstat(2) tells it.
//!
//! Checklist: DF-08~, N-08~

use layerlab_model::operation::Operation;

use super::{Judged, Law, Verdict, Watch, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::subjects::Diff;
use crate::tar::{self, Sight};
use crate::tree::Tree;

pub static LAW: Walking = Walking;

pub struct Walking;

impl Law for Walking {
    fn name(&self) -> &'static str {
        "the-uppers-diff-is-a-walking-diff"
    }

    fn weights(&self) -> Weights {
        Weights { commit: 12, ..Weights::default() }
    }

    fn takes_its_time(&self) -> bool {
        true
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

#[derive(Default)]
struct Watching {
    below: Tree,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.step.operation != Operation::Commit {
            return Ok(Judged::NotAsked);
        }
        let (tree, below) = (&moment.before.merged, std::mem::replace(&mut self.below, moment.before.merged.clone()));
        let Some(frozen) = &moment.frozen else { return without_tars(moment) };
        let applied = frozen.applied(&frozen.newest_tar(Diff::Walking)?)?;
        let found = tar::differences(&[&below, tree], &applied, Sight::Lstat);
        verdict(found.iter().map(|difference| format!("applied, from a comparison of the trees: {difference}")))
    }
}
