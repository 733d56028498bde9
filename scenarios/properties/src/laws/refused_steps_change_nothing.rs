//! `refused(step) ⇒ tree after = tree before`, in the merged tree and in the upper layer: whoever is told "no" has done nothing.
//!
//! Checklist: CU-17

use layerlab_model::errno::Errno;
use layerlab_model::operation::Operation;

use super::{Judged, Law, Verdict, Watch, verdict};
use crate::case::Moment;
use crate::tree::{self, Inodes, Tree};

pub static LAW: Refused = Refused;

pub struct Refused;

impl Law for Refused {
    fn name(&self) -> &'static str {
        "refused-steps-change-nothing"
    }

    fn watch(&self) -> Box<dyn Watch> {
        Box::new(Watching)
    }
}

struct Watching;

impl Watch for Watching {
    fn after(&mut self, moment: &Moment<'_>) -> Verdict {
        if moment.actual.is_ok() {
            return Ok(Judged::NotAsked);
        }
        let promises = moment.model.promises();
        let operation = &moment.step.operation;
        let is_xattr = matches!(
            operation,
            Operation::SetXattr { .. } | Operation::SetLinkXattr { .. } | Operation::RemoveXattr { .. }
        );
        let moves = matches!(operation, Operation::Rename { .. } | Operation::Link { .. } | Operation::LinkSlot { .. });
        // A redirect that would be too long is noticed when everything else is done (`ovl_set_redirect` of `fs/overlayfs/dir.c`).
        let is_too_long = (promises.content_stays_below || promises.lower_directories_move)
            && moves
            && moment.actual == Err(Errno::XDEV);
        let copies_up = promises.refused_xattrs_copy_up && is_xattr || is_too_long;
        let is_full = matches!(moment.actual, Err(Errno::NOTEMPTY | Errno::EXIST));
        let prepares = promises.refused_renames_prepare && matches!(operation, Operation::Rename { .. }) && is_full;
        // A copy-up by itself shows nowhere but in the number of names of a file that had several, and its inode.
        let (names, inodes) = if copies_up { (0, Inodes::Ignored) } else { (1, Inodes::Compared) };
        let shown = |tree: &Tree| {
            let mut tree = tree.clone();
            tree.values_mut().for_each(|facts| facts.links *= names);
            tree
        };
        let merged = tree::changes(&shown(&moment.before.merged), &shown(&moment.after.merged), inodes);
        let upper = match (&moment.before.upper, &moment.after.upper) {
            (Some(before), Some(after)) if !copies_up && !prepares => tree::changes(before, after, Inodes::Compared),
            _ => Vec::new(),
        };
        let merged = merged.iter().map(|change| format!("refused with {:?}, and yet {change}", moment.actual));
        verdict(merged.chain(upper.iter().map(|change| format!("refused, and yet in the upper layer {change}"))))
    }
}
