//! `tree(remount) = tree`: unmounting and mounting again changes nothing, inode numbers included where the subject promises
//! that they stay.
//!
//! Checklist: IN-02~, MN-11

use layerlab_model::operation::Operation;

use super::{Law, Verdict, Watch, verdict};
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
            return Ok(());
        }
        let inodes = match moment.model.promises().inode_numbers_survive_a_remount {
            true => Inodes::Compared,
            false => Inodes::Ignored,
        };
        let merged = tree::changes(&moment.before.merged, &moment.after.merged, inodes);
        let upper = match (&moment.before.upper, &moment.after.upper) {
            (Some(before), Some(after)) => tree::changes(before, after, Inodes::Compared),
            _ => Vec::new(),
        };
        let merged = merged.iter().map(|change| format!("after the remount {change}"));
        verdict(merged.chain(upper.iter().map(|change| format!("after the remount in the upper layer {change}"))))
    }
}
