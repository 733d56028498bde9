//! Which steps are not done, since nothing is promised of what comes of them.
//!
//! *Why*: what kernels and file systems leave open has no right answer, and a law that expected one would cry wolf. *Holds*: each is for
//! want of a promise of `src/promises.rs`, which says why, and where in the kernel. *Never*: in silence; a campaign counts what it
//! leaves out.

use super::attributes::CAPABILITY;
use super::walk::{Last, NAME_BYTES_MAX, Place, parent_of};
use super::{Machine, Open, WHITEOUT};
use crate::inode::{At, Body, Node, mode};
use crate::operation::{Allocate, List, Operation, Replace, Step, Target, User};
use crate::text::Text;
use crate::union::Seen;

/// How long a redirect can be whatever has moved before.
const REDIRECT_BYTES_SURE: usize = 64;

/// Whether it makes what is not, or not as it is, in the tar of a layer by Docker.
fn is_in_no_tar(operation: &Operation) -> bool {
    match operation {
        Operation::SetTime { time, .. } | Operation::SetLinkTime { time, .. } => {
            time.seconds < 0 || time.nanoseconds != 0
        }
        Operation::SetXattr { name, .. } | Operation::SetLinkXattr { name, .. } => {
            name.as_bytes() != CAPABILITY.as_bytes()
        }
        Operation::SetAcl { .. } | Operation::Mknod { node: Node::Socket, .. } => true,
        _ => false,
    }
}

impl Machine {
    /// Whether nothing is promised about what comes of `step`, so that it is better not done.
    pub fn promises_nothing_of(&self, step: &Step) -> bool {
        let (promises, user) = (&self.promises, step.user);
        let changes_what_is_gone = !promises.removed_directories_stay_removed
            && step.operation.changed_slot().is_some_and(|slot| self.may_replace_what_came_since(slot));
        let changes_what_was_removed = !promises.removed_files_can_be_changed
            && step
                .operation
                .changed_slot()
                .and_then(|slot| self.open.get(&slot))
                .is_some_and(|open| self.is_removed(open));
        changes_what_is_gone
            || changes_what_was_removed
            || step.operation.clone().paths_mut().into_iter().any(|path| self.promises_nothing_of_names(path))
            || !promises.set_id_bits_are_kept && step.operation.gives_mode() & (mode::SET_UID | mode::SET_GID) != 0
            || !promises.replacing_directories_move && self.moves_what_replaces(step)
            || !promises.copies_are_whole && self.copies_in_part(step)
            || !promises.layers_are_whole && is_in_no_tar(&step.operation)
            || match &step.operation {
                Operation::Commit => {
                    self.union.depth() >= promises.lower_layers_max
                        || promises.content_stays_below && self.has_holes_to_freeze()
                        || !promises.names_of_one_file_can_lie_below && self.has_links_to_freeze()
                }
                Operation::Open { flags, path, .. } => {
                    flags.direct && !promises.files_open_directly
                        || flags.create && flags.directory && !promises.directories_are_not_made_by_open
                        || !promises.devices_open && self.is_device(user, path)
                }
                Operation::Allocate { slot, how: Allocate::Punch, offset, length } => {
                    let open = self.open.get(slot).filter(|_| !promises.holes_are_punched_again);
                    open.is_some_and(|open| self.may_be_hole(open.at, *offset, *length))
                }
                Operation::Allocate { .. } if !promises.room_is_a_change => true,
                Operation::Truncate { target: Target::Path(path), length } => {
                    !promises.truncating_to_the_same_length_is_a_change && self.is_as_long(user, path, *length as usize)
                }
                Operation::Symlink { content, .. } if self.promises_nothing_of_names(content) => true,
                Operation::OpenUnnamed { .. } => !promises.files_open_unnamed,
                Operation::Rename { from, to, replace } => self.promises_nothing_of_rename(user, [from, to], *replace),
                Operation::Mknod { node: WHITEOUT, .. } => !promises.whiteouts_are_refused,
                Operation::MapWrite { slot, .. } => {
                    let is_capable =
                        |open: &Open| self.union.inode(open.at).meta.xattrs.contains_key(&Text::from(CAPABILITY));
                    !promises.mappings_leave_capabilities && self.open.get(slot).is_some_and(is_capable)
                }
                Operation::SetLinkXattr { .. } if !promises.links_have_xattrs => true,
                Operation::Race { path, .. } if !promises.devices_open && self.is_device(user, path) => true,
                Operation::Race { path, mode: Some(bits), .. } => !self.may_race_with(user, path, *bits),
                Operation::SetAcl { .. } if !promises.lists_are_kept => true,
                Operation::SetXattr { name, value, .. } | Operation::SetLinkXattr { name, value, .. }
                    if value.0.is_empty() && List::of_xattr(name).is_some() && !promises.empty_lists_remove =>
                {
                    true
                }
                Operation::SetXattr { name, .. }
                | Operation::SetLinkXattr { name, .. }
                | Operation::RemoveXattr { name, .. }
                    if List::of_xattr(name).is_some() && !promises.lists_are_kept =>
                {
                    true
                }
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

    fn promises_nothing_of_names(&self, path: &Text) -> bool {
        let promises = &self.promises;
        path.as_bytes().split(|byte| *byte == b'/').any(|name| {
            promises.name_bytes_max < NAME_BYTES_MAX && name.len() > promises.name_bytes_max
                || !promises.whiteout_names_are_names && name.starts_with(b".wh.")
        })
    }

    /// Whether `step` would copy up, or take the name of, something of which a copy may lack something.
    fn copies_in_part(&self, step: &Step) -> bool {
        let lacks = |at: At| matches!(self.union.inode(at).body, Body::Symlink(_) | Body::Node(_));
        let is_taken = |path: &Text| {
            let seen = self.walk(step.user, path, Last::NAME).ok().and_then(|place| place.seen);
            seen.is_some_and(|seen| !self.union.is_upper(seen.top()) && lacks(seen.top()))
        };
        let takes = match &step.operation {
            Operation::Unlink { path } | Operation::Rmdir { path } => is_taken(path),
            Operation::Rename { from, to, .. } => is_taken(from) || is_taken(to),
            Operation::SetXattr { target, .. } | Operation::RemoveXattr { target, .. } => {
                let at = self.target(step.user, target, Last::FOLLOWED);
                at.is_ok_and(|at| !self.union.is_upper(at) && lacks(at))
            }
            Operation::SetLinkXattr { path, .. } => is_taken(path),
            _ => false,
        };
        takes || {
            let mut tried = self.clone();
            let _ = tried.step(step);
            tried.copied().iter().any(|moved| lacks(moved.from))
        }
    }

    /// Whether an open file has no name any more, or none yet.
    fn is_removed(&self, open: &Open) -> bool {
        let is_elsewhere = || self.union.at(&open.path).is_none_or(|seen| seen.top() != open.at);
        match self.union.is_upper(open.at) && !self.union.inode(open.at).is_directory() {
            true => self.union.links(open.at) == 0,
            false => is_elsewhere(),
        }
    }

    fn is_device(&self, user: User, path: &Text) -> bool {
        let seen = self.existing(user, path, Last::FOLLOWED);
        let body = |seen: &Seen| {
            matches!(self.union.inode(seen.top()).body, Body::Node(Node::Character { .. } | Node::Block { .. }))
        };
        seen.is_ok_and(|(_, seen)| body(&seen))
    }

    /// Whether `step` moves or removes a directory that hides something and shows nothing of it, moves one to where it would, or makes one in such.
    fn moves_what_replaces(&self, step: &Step) -> bool {
        let place = |path: &Text| self.walk(step.user, path, Last::NAME).ok();
        let is_directory = |place: &Place| matches!(place.seen, Some(Seen::Directory(_)));
        let replaces = |names: &[Text]| match self.union.at(names) {
            Some(Seen::Directory(stack)) => {
                stack.len() == 1 && self.union.is_upper(stack[0]) && self.union.hides(names)
            }
            _ => false,
        };
        match &step.operation {
            Operation::Rmdir { path } => place(path).is_some_and(|place| replaces(&place.path)),
            Operation::Mkdir { path, .. } => place(path).is_some_and(|place| replaces(parent_of(&place.path))),
            Operation::Rename { from, to, .. } => {
                let (from, to) = (place(from), place(to));
                from.filter(is_directory)
                    .is_some_and(|from| replaces(&from.path) || to.is_some_and(|to| self.union.hides(&to.path)))
            }
            _ => false,
        }
    }

    fn has_links_to_freeze(&self) -> bool {
        let is_linked =
            |at: At| self.union.is_upper(at) && !self.union.inode(at).is_directory() && self.union.links(at) > 1;
        self.union.walk().into_iter().any(|(_, seen)| is_linked(seen.top()))
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
        let (old, new) = (self.walk(user, from, Last::NAME), self.walk(user, to, Last::NAME));
        let (Ok(old), Ok(new)) = (old, new) else { return false };
        let is_directory = |place: &Place| matches!(place.seen, Some(Seen::Directory(_)));
        if replace == Replace::Exchange {
            return !self.promises.names_are_exchanged;
        }
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
        let was_copied = self.union.inode(at).copied.names_below > 0;
        is_copy && !(self.promises.copies_can_be_linked && is_kept)
            || was_copied && !self.promises.copies_can_be_linked_later
    }
}
