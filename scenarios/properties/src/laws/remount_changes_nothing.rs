//! `tree(remount) = tree`: unmounting and mounting again changes nothing, inode numbers included where the subject promises
//! that they stay.
//!
//! Checklist: IN-02~, MN-11

use layerlab_model::operation::Operation;

use super::{Judged, Law, MOUNT, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::generate::Weights;
use crate::tree::{self, Inodes};

pub static LAW: Remount = Remount;

pub struct Remount;

impl Law for Remount {
    fn name(&self) -> &'static str {
        "remount-changes-nothing"
    }

    fn weights(&self) -> Weights {
        Weights { remount: 15, ..Weights::default() }
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.step.operation != Operation::Remount {
            return Ok(Judged::NotAsked);
        }
        let promises = moment.model.promises();
        if !promises.layers {
            return Ok(Judged::Lacking(MOUNT));
        }
        let inodes = match (promises.inode_numbers_survive_a_remount, promises.origins_of_nodes_are_kept) {
            (true, true) => Inodes::Compared,
            (true, false) => Inodes::OfFilesCompared,
            (false, _) => Inodes::Ignored,
        };
        let mut before = moment.before.merged.clone();
        if !promises.numbers_of_names_survive_a_remount {
            for (path, facts) in &mut before {
                facts.links = moment.after.merged.get(path).map_or(facts.links, |now| now.links);
            }
        }
        let merged = tree::changes(&before, &moment.after.merged, inodes);
        let upper = match (&moment.before.upper, &moment.after.upper) {
            (Some(before), Some(after)) => tree::changes(before, after, Inodes::Compared),
            _ => Vec::new(),
        };
        let merged = merged.iter().map(|change| format!("after the remount {change}"));
        verdict(merged.chain(upper.iter().map(|change| format!("after the remount in the upper layer {change}"))))
    }
}
