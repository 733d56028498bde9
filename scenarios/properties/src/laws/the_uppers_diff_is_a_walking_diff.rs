//! `apply(upper's diff) = apply(walking diff)`: reading the upper directory and comparing the two whole trees tell the same change,
//! but for the times of directories and which names are one file.
//!
//! Checklist: DF-08~, N-08~

use layerlab_model::operation::Operation;

use super::{Judged, Law, Verdict, Watch, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::subjects::Diff;
use crate::tar::{self, Sight};

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
        let applied = frozen.applied(&frozen.newest_tar(Diff::Walking)?)?;
        let found = tar::differences(&moment.before.merged, &applied, Sight::ByName);
        verdict(found.iter().map(|difference| format!("applied, from a comparison of the trees: {difference}")))
    }
}
