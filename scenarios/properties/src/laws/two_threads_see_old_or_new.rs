//! `seen(reader, byte) ∈ {old, new}` while others write to the file, and afterwards all of it is new: nobody sees half of a copy-up,
//! a file that is empty or gone, and no write is lost.
//!
//! Checklist: CU-18

use layerlab_model::operation::{Answer, Operation, Step};

use super::{Judged, Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::generate::Weights;

pub static LAW: TwoThreads = TwoThreads;

pub struct TwoThreads;

impl Law for TwoThreads {
    fn name(&self) -> &'static str {
        "two-threads-see-old-or-new"
    }

    fn weights(&self) -> Weights {
        Weights { races: 60, commit: 12, ..Weights::default() }
    }

    fn looks_at(&self, step: &Step, _is_last: bool) -> bool {
        matches!(step.operation, Operation::Race { .. })
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if !matches!(moment.step.operation, Operation::Race { .. }) {
            return Ok(Judged::NotAsked);
        }
        let half = match &moment.actual {
            Ok(Answer::Wrong(half)) => Some(half.clone()),
            _ => None,
        };
        let expected = moment.expected_tree();
        let is_lost = |path| {
            expected.get(path).map(|facts| &facts.content) != moment.after.merged.get(path).map(|facts| &facts.content)
        };
        let lost = expected.keys().filter(|path| is_lost(*path));
        verdict(
            half.into_iter()
                .chain(lost.map(|path| format!("/{path} has not the content that all writes together give"))),
        )
    }
}
