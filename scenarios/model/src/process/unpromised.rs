//! Which steps are not done, since nothing is promised of what comes of them.
//!
//! *Why*: what kernels and file systems leave open has no right answer, and a law that expected one would cry wolf. *Holds*: each is for
//! want of a promise of `src/promises.rs`, which says why, and where in the kernel. *Never*: in silence; a campaign counts what it
//! leaves out.

use super::walk::{Last, Place, parent_of};
use super::{Machine, WHITEOUT};
use crate::inode::{At, Body};
use crate::operation::{Allocate, List, Operation, Replace, Step, Target, User};
use crate::text::Text;
use crate::union::Seen;

/// How long a redirect can be whatever has moved before.
const REDIRECT_BYTES_SURE: usize = 64;

impl Machine {
    /// Whether nothing is promised about what comes of `step`, so that it is better not done.
    pub fn promises_nothing_of(&self, step: &Step) -> bool {
        let (promises, user) = (&self.promises, step.user);
        let changes_what_is_gone = !promises.removed_directories_stay_removed
            && step.operation.changed_slot().is_some_and(|slot| self.may_replace_what_came_since(slot));
        changes_what_is_gone
            || match &step.operation {
                Operation::Commit => {
                    self.union.depth() >= promises.lower_layers_max
                        || promises.content_stays_below && self.has_holes_to_freeze()
                }
                Operation::Open { flags, .. } => flags.direct && !promises.files_open_directly,
                Operation::Allocate { slot, how: Allocate::Punch, offset, length } => {
                    let open = self.open.get(slot).filter(|_| !promises.holes_are_punched_again);
                    open.is_some_and(|open| self.may_be_hole(open.at, *offset, *length))
                }
                Operation::Truncate { target: Target::Path(path), length } => {
                    !promises.truncating_to_the_same_length_is_a_change && self.is_as_long(user, path, *length as usize)
                }
                Operation::Rename { from, to, replace } => self.promises_nothing_of_rename(user, [from, to], *replace),
                Operation::Mknod { node: WHITEOUT, .. } => !promises.whiteouts_are_refused,
                Operation::Race { path, mode: Some(bits), .. } => !self.may_race_with(user, path, *bits),
                Operation::SetAcl { target, list: List::Access, acl } if acl.0.is_empty() => {
                    self.is_open_after_its_list(user, target)
                }
                Operation::SetXattr { target, name, .. } | Operation::RemoveXattr { target, name }
                    if List::of_xattr(name) == Some(List::Access) =>
                {
                    self.is_open_after_its_list(user, target)
                }
                Operation::Link { from, .. } => {
                    let seen = self.walk(user, from, Last::ITSELF).ok().and_then(|place| place.seen);
                    seen.is_some_and(|seen| self.is_unlinkable_copy(seen.top()))
                }
                Operation::LinkSlot { slot, .. } => {
                    self.open.get(slot).is_some_and(|open| self.is_unlinkable_copy(open.at))
                }
                _ => false,
            }
    }

    fn has_holes_to_freeze(&self) -> bool {
        let is_hole = |at: At| {
            let is_long = self.union.inode(at).body != Body::File(Vec::new());
            self.union.is_upper(at) && is_long && self.may_be_hole(at, 0, u32::MAX)
        };
        self.union.walk().into_iter().any(|(_, seen)| is_hole(seen.top()))
    }

    fn is_as_long(&self, user: User, path: &Text, length: usize) -> bool {
        let seen = self.existing(user, path, Last::FOLLOWED);
        let Ok((_, seen)) = seen else { return false };
        matches!(&self.union.inode(seen.top()).body, Body::File(bytes) if bytes.len() == length)
    }

    fn promises_nothing_of_rename(&self, user: User, [from, to]: [&Text; 2], replace: Replace) -> bool {
        if replace == Replace::Exchange {
            return false;
        }
        let (old, new) = (self.walk(user, from, Last::NAME), self.walk(user, to, Last::NAME));
        let (Ok(old), Ok(new)) = (old, new) else { return false };
        let is_directory = |place: &Place| matches!(place.seen, Some(Seen::Directory(_)));
        let is_exchange =
            new.seen.is_none() && self.union.hides(&new.path) && parent_of(&old.path) != parent_of(&new.path);
        let moves_times = is_exchange && !self.promises.exchanged_directories_keep_their_time;
        let is_refused = new.seen.as_ref().is_some_and(|target| self.is_empty(target).is_err());
        let takes_back = is_refused && self.union.hides(&old.path) && !self.promises.refused_whiteouts_keep_times;
        let length = old.path.iter().map(|name| name.as_bytes().len() + 1).sum::<usize>();
        let may_be_too_long = self.promises.lower_directories_move
            && replace == Replace::Yes
            && is_directory(&new)
            && length > REDIRECT_BYTES_SURE;
        is_directory(&old) && (moves_times || takes_back) || may_be_too_long
    }

    fn is_open_after_its_list(&self, user: User, target: &Target) -> bool {
        self.target(user, target, Last::FOLLOWED).is_ok_and(|at| self.may_lose_set_gid(user, at))
    }

    fn is_unlinkable_copy(&self, at: At) -> bool {
        let is_copy = !self.union.is_upper(at) || self.copies.contains(&at.inode);
        let is_kept = self.promises.origins_of_nodes_are_kept || self.union.inode(at).is_file();
        is_copy && !(self.promises.copies_can_be_linked && is_kept)
    }
}
