//! `attached(layer) = attached(layer)` whoever else packs it, compares it, measures it or looks at it meanwhile; when it is given back it is mounted
//! no more, and what is mounted to be looked at takes no writing. Asked of a new layer on the one that was just committed.

use layerlab_model::operation::Operation;

use super::{Judged, Law, Verdict, Watch, verdict, without_tars};
use crate::case::Moment;
use crate::generate::Weights;
use crate::tree::{self, Inodes};

pub static LAW: Looking = Looking;

pub struct Looking;

impl Law for Looking {
    fn name(&self) -> &'static str {
        "looking-changes-nothing"
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
        let used = frozen.ask(|frozen| Ok(frozen.used()?))?;
        let [before, after] = &used.attached;
        let changed = tree::changes(before, after, Inodes::Compared).into_iter();
        let changed = changed.map(|change| format!("while it was attached others looked at it, and {change}"));
        let left = used.is_left_mounted.then(|| "it was given back, and is mounted still".to_owned());
        let written = used.takes_writing.then(|| "who only looks at it can write into it".to_owned());
        verdict(changed.chain(left).chain(written))
    }
}
