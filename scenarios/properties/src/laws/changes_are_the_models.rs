//! `changes(layer) = changes(model)`: what `docker diff` would show of a layer is what comparing the model's trees finds, letter by
//! letter, path by path. The model does not know the clock, and two of its readings can be one time: times are those that the tree shows.
//!
//! Checklist: OP-05, RN-11, DF-01, DF-02, DF-03~

use std::collections::BTreeSet;

use layerlab_model::changes::{self, Flat, Letter, Names};
use layerlab_model::inode::Stamp;
use layerlab_model::operation::Operation;

use super::{Judged, Law, Verdict, Watch, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::tree::{self, When};

pub static LAW: Changes = Changes;

pub struct Changes;

impl Law for Changes {
    fn name(&self) -> &'static str {
        "changes-are-the-models"
    }

    fn weights(&self) -> Weights {
        Weights { commit: 12, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching::default())
    }
}

#[derive(Default)]
struct Watching {
    below: Flat,
}

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.step.operation != Operation::Commit {
            return Ok(Judged::NotAsked);
        }
        let mut tree = changes::flat(moment.model.union());
        for (names, leaf) in &mut tree {
            if let Some(When::Time(time)) = moment.after.merged.get(&tree::path(names)).map(|facts| facts.mtime) {
                leaf.meta.mtime = Stamp::Set(time);
            }
        }
        let below = std::mem::replace(&mut self.below, tree);
        let Some(frozen) = &moment.frozen else { return without_tars(moment) };
        let line = |(letter, names): &(Letter, Names)| format!("{letter:?} /{}", tree::path(names));
        let expected: BTreeSet<String> = changes::compared(&below, &self.below).iter().map(line).collect();
        let actual = frozen.ask(|frozen| Ok(frozen.changes()?))?;
        let actual: BTreeSet<String> = actual.into_iter().map(|(letter, path)| format!("{letter} {path}")).collect();
        let missing = expected.difference(&actual).map(|line| format!("the diff should say {line}"));
        let too_many = actual.difference(&expected).map(|line| format!("the diff should not say {line}"));
        verdict(missing.chain(too_many))
    }
}
