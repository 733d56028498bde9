//! renameat2(2): the order is `do_renameat2`'s and `vfs_rename`'s, then overlayfs's own.

use super::walk::{End, Last, Place, parent_of};
use super::{Machine, SEARCH, WRITE};
use crate::errno::Errno;
use crate::operation::{Answer, Replace, User};
use crate::text::Text;
use crate::union::Seen;

impl Machine {
    /// renameat2(2); the order is `do_renameat2`'s and `vfs_rename`'s, then overlayfs's own.
    pub(super) fn rename(&mut self, user: User, from: &Text, to: &Text, replace: Replace) -> Result<Answer, Errno> {
        let (old, new) = (self.walk_to_last(user, from, Last::NAME)?, self.walk_to_last(user, to, Last::NAME)?);
        if old.end != End::Name {
            return Err(Errno::BUSY);
        }
        if new.end != End::Name {
            return Err(if replace == Replace::No { Errno::EXIST } else { Errno::BUSY });
        }
        let (old_is_none, new_is_none) = (old.is_no_directory(), new.is_no_directory());
        let (new_has_slash, is_exchange) = (new.has_slash, replace == Replace::Exchange);
        let (old_path, source) = old.there()?;
        let Place { path: new_path, seen: target, .. } = new.looked_up()?;
        match (replace, &target) {
            (Replace::No, Some(_)) => return Err(Errno::EXIST),
            (Replace::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
        }
        // A slash behind either name says that a directory is to move there.
        let moves_other = new_has_slash && !matches!(source, Seen::Directory(_));
        if old_is_none || if is_exchange { new_is_none } else { moves_other } {
            return Err(Errno::NOTDIR);
        }
        if new_path.len() > old_path.len() && new_path.starts_with(&old_path) {
            return Err(Errno::INVAL);
        }
        if old_path.len() > new_path.len() && old_path.starts_with(&new_path) {
            return Err(if replace == Replace::Exchange { Errno::INVAL } else { Errno::NOTEMPTY });
        }
        if target
            .as_ref()
            .is_some_and(|target| old_path == new_path || self.union.is_same_file(source.top(), target.top()))
        {
            return Ok(Answer::Done);
        }
        self.may_rename(user, (&old_path, &source), (&new_path, target.as_ref()), replace)?;
        self.can_move(&source)?;
        if let Some(target) = &target {
            match replace {
                Replace::Exchange => self.can_move(target)?,
                _ => self.may_replace(target, &old_path, &new_path)?,
            }
        }
        let moving = self.copied_up(&old_path)?;
        self.copied_up(parent_of(&new_path))?;
        self.prepare_target(&new_path, target.as_ref(), replace)?;
        self.redirect(&old_path, &new_path, replace)?;
        match (replace, target.is_some()) {
            (Replace::Exchange, _) => {
                let other = self.copied_up(&new_path)?;
                self.take_name(&old_path)?;
                self.take_name(&new_path)?;
                self.give_name(&new_path, moving)?;
                self.give_name(&old_path, other)?;
                if parent_of(&old_path) != parent_of(&new_path) && !self.promises.exchanged_directories_keep_their_time
                {
                    for inode in [moving, other] {
                        if self.union.upper_mut(inode).is_directory() {
                            self.union.touch(inode);
                        }
                    }
                }
            }
            (_, is_there) => {
                if is_there {
                    self.take_name(&new_path)?;
                }
                self.take_name(&old_path)?;
                self.give_name(&new_path, moving)?;
            }
        }
        self.follow_copies();
        self.rename_open(&old_path, &new_path, replace);
        Ok(Answer::Done)
    }

    /// overlayfs copies up what is exchanged, and what the index counts.
    fn prepare_target(&mut self, path: &[Text], target: Option<&Seen>, replace: Replace) -> Result<(), Errno> {
        let is_counted = target.is_some_and(|target| self.union.is_kept_whole(target.top()));
        if replace == Replace::Exchange || is_counted {
            self.copied_up(path)?;
        }
        Ok(())
    }

    /// overlayfs: what of it lies below is to be found by its new name, too. All is prepared by then.
    fn redirect(&mut self, old: &[Text], new: &[Text], replace: Replace) -> Result<(), Errno> {
        let is_same_directory = parent_of(old) == parent_of(new);
        let moving = if replace == Replace::Exchange { &[old, new][..] } else { &[old] };
        for path in moving {
            let inode = self.copied_up(path)?;
            if !self.union.redirect(inode, path, is_same_directory) {
                return Err(Errno::XDEV);
            }
        }
        Ok(())
    }

    /// overlayfs looks itself only into a directory through which something shows; into another the upper layer's file system does,
    /// after everything has been prepared.
    pub(super) fn may_replace(&mut self, target: &Seen, old: &[Text], new: &[Text]) -> Result<(), Errno> {
        let refusal = self.is_empty(target);
        let is_upper = matches!(target, Seen::Directory(stack) if stack.len() == 1 && self.union.is_upper(stack[0]));
        if refusal.is_ok() || !is_upper {
            return refusal;
        }
        if self.promises.refused_renames_prepare {
            self.copied_up(old)?;
            self.copied_up(parent_of(new))?;
        }
        Err(if self.promises.full_directories_are_not_empty { Errno::NOTEMPTY } else { Errno::EXIST })
    }

    /// The permissions of `vfs_rename`: both names may go, and a directory that gets another parent may be written to,
    /// since its `..` changes.
    pub(super) fn may_rename(
        &self,
        user: User,
        (old_path, source): (&[Text], &Seen),
        (new_path, target): (&[Text], Option<&Seen>),
        replace: Replace,
    ) -> Result<(), Errno> {
        let is_directory = |seen: &Seen| matches!(seen, Seen::Directory(_));
        self.may_delete(user, old_path, source, is_directory(source))?;
        match target {
            None => {
                let (_, parent) = self.parent(new_path).ok_or(Errno::BUSY)?;
                self.may(user, &parent, WRITE | SEARCH)?;
            }
            Some(target) => {
                let like = if replace == Replace::Exchange { target } else { source };
                self.may_delete(user, new_path, target, is_directory(like))?;
            }
        }
        if parent_of(old_path) == parent_of(new_path) {
            return Ok(());
        }
        if is_directory(source) {
            self.may(user, source, WRITE)?;
        }
        match target {
            Some(target) if replace == Replace::Exchange && is_directory(target) => self.may(user, target, WRITE),
            _ => Ok(()),
        }
    }

    /// overlayfs, "Directory renaming": a directory of which any part lies in a lower layer stays where it is, unless
    /// redirects are on.
    pub(super) fn can_move(&self, seen: &Seen) -> Result<(), Errno> {
        match seen {
            Seen::Directory(stack)
                if !self.promises.lower_directories_move && (stack.len() > 1 || !self.union.is_upper(stack[0])) =>
            {
                Err(Errno::XDEV)
            }
            _ => Ok(()),
        }
    }

    /// Open files below a directory that moved are open by other names now.
    pub(super) fn rename_open(&mut self, old: &[Text], new: &[Text], replace: Replace) {
        for open in self.open.values_mut() {
            let moved = |from: &[Text], to: &[Text]| open.path.strip_prefix(from).map(|rest| [to, rest].concat());
            let back = (replace == Replace::Exchange).then(|| moved(new, old)).flatten();
            if let Some(path) = moved(old, new).or(back) {
                open.path = path;
            }
        }
    }
}
