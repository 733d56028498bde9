//! What is in files: reading, writing, mapping, copying, allocating, truncating; and what a write takes away.

use super::attributes::{CAPABILITY, set_gid_to_drop};
use super::walk::{Last, parent_of};
use super::{Machine, Open, WRITE};
use crate::errno::Errno;
use crate::inode::{At, Body, mode};
use crate::operation::{Access, Allocate, Answer, Slot, Target, User};
use crate::text::Text;
use crate::union::Seen;

impl Machine {
    /// The upper inode of an open file that is to be changed.
    pub(super) fn changed(&mut self, slot: Slot) -> Result<usize, Errno> {
        let open = self.slot(slot)?.clone();
        self.changed_of(&open)
    }

    pub(super) fn changed_of(&mut self, open: &Open) -> Result<usize, Errno> {
        if self.union.is_upper(open.at) {
            // By a name that the index knows and that was not used yet: it is now.
            if self.union.at(&open.path).is_some_and(|seen| seen.top() == open.at) {
                self.union.copy_up(&open.path);
            }
            return Ok(open.at.inode);
        }
        match self.union.at(&open.path) {
            Some(seen) if seen.top() == open.at => self.copied_up(&open.path),
            // overlayfs: the copy of what is open, and whose name is gone, is put where the name was, and finds the whiteout there,
            // or a directory that is gone, too: a directory's copy is renamed, a file's is linked (`ovl_copy_up_workdir`,
            // `ovl_copy_up_tmpfile` of `fs/overlayfs/copy_up.c`).
            _ => {
                let has_parent = matches!(self.union.at(parent_of(&open.path)), Some(Seen::Directory(_)));
                Err(match (self.union.inode(open.at).is_directory(), has_parent) {
                    (true, true) => Errno::NOTDIR,
                    (true, false) => Errno::IO,
                    (false, true) => Errno::EXIST,
                    (false, false) => Errno::NOENT,
                })
            }
        }
    }

    /// Whether the copy of what is open would take the place of a directory that is there now: overlayfs lets the copy of a
    /// directory, whose name is gone, replace an empty one that was made, or moved there, since (`ovl_copy_up_workdir` of `fs/overlayfs/copy_up.c`).
    pub(super) fn may_replace_what_came_since(&self, slot: Slot) -> bool {
        let Some(open) = self.open.get(&slot) else { return false };
        let is_gone = || self.union.at(&open.path).is_none_or(|seen| seen.top() != open.at);
        let is_new = |depth: usize| match self.union.at(&open.path[..depth]) {
            Some(Seen::Directory(stack)) if self.union.is_upper(stack[0]) => {
                stack.len() == 1 || self.union.inode(stack[0]).copied.redirect.is_some()
            }
            _ => false,
        };
        !self.union.is_upper(open.at) && is_gone() && (1..=open.path.len()).any(is_new)
    }

    pub(super) fn change(&mut self, inode: usize, change: impl FnOnce(&mut Vec<u8>)) {
        if let Body::File(bytes) = &mut self.union.upper_mut(inode).body {
            change(bytes);
        }
        self.union.touch(inode);
    }

    /// A write takes capabilities away, and from those without `CAP_FSETID` the bits that give privileges, too
    /// (capabilities(7), `file_remove_privs` of `fs/inode.c`).
    pub(super) fn remove_privileges(&mut self, user: User, inode: usize) {
        let keeps_bits = user.has_capabilities() && self.promises.first_namespace;
        let meta = &mut self.union.upper_mut(inode).meta;
        meta.xattrs.remove(&Text::from(CAPABILITY));
        if !keeps_bits {
            meta.mode &= !mode::SET_UID;
            meta.mode &= !set_gid_to_drop(user, meta);
        }
    }

    pub(super) fn write(&mut self, user: User, slot: Slot, offset: u32, bytes: &[u8]) -> Result<Answer, Errno> {
        let open = self.slot(slot)?;
        if !open.access.writes() {
            return Err(Errno::BADF);
        }
        // `generic_write_checks` of `fs/read_write.c`: nothing is done then, not even time or privileges change.
        if bytes.is_empty() {
            return Ok(Answer::Count(0));
        }
        let append = open.append;
        let inode = self.changed(slot)?;
        self.remove_privileges(user, inode);
        self.change(inode, |content| {
            let offset = if append { content.len() } else { offset as usize };
            put(content, offset, bytes);
        });
        Ok(Answer::Count(bytes.len() as u64))
    }

    /// Whether these bytes are of a file and are, as far as is known, a hole already, or behind its end.
    pub(super) fn may_be_hole(&self, at: At, offset: u32, length: u32) -> bool {
        match &self.union.inode(at).body {
            Body::File(bytes) => part(bytes, offset, length).iter().all(|byte| *byte == 0),
            _ => false,
        }
    }

    pub(super) fn content(&self, open: &Open) -> Result<&[u8], Errno> {
        match &self.union.inode(open.at).body {
            Body::File(bytes) => Ok(bytes),
            _ => Err(Errno::ISDIR),
        }
    }

    pub(super) fn read(&self, slot: Slot, offset: u32, length: u32) -> Result<Answer, Errno> {
        let open = self.slot(slot)?;
        if !open.access.reads() {
            return Err(Errno::BADF);
        }
        Ok(Answer::Bytes(part(self.content(open)?, offset, length).to_vec()))
    }

    /// A shared mapping writes past the checks of write(2): no privilege is removed (mmap(2)). Beyond the end of the file
    /// the process would die of a signal; that is not tried.
    pub(super) fn map_write(&mut self, slot: Slot, offset: u32, bytes: &[u8]) -> Result<Answer, Errno> {
        let open = self.slot(slot)?;
        if open.access != Access::ReadWrite {
            return Err(Errno::ACCES);
        }
        if offset as usize + bytes.len() > self.content(open)?.len() {
            return Err(Errno::INVAL);
        }
        let inode = self.changed(slot)?;
        self.change(inode, |content| put(content, offset as usize, bytes));
        Ok(Answer::Done)
    }

    pub(super) fn copy_range(
        &mut self,
        user: User,
        (from, from_offset): (Slot, u32),
        (to, to_offset): (Slot, u32),
        length: u32,
    ) -> Result<Answer, Errno> {
        let (source, target) = (self.slot(from)?, self.slot(to)?);
        let bytes = part(self.content(source)?, from_offset, length).to_vec();
        self.content(target)?;
        if !source.access.reads() || !target.access.writes() || target.append {
            return Err(Errno::BADF);
        }
        let overlaps = u64::from(to_offset) + bytes.len() as u64 > u64::from(from_offset)
            && u64::from(to_offset) < u64::from(from_offset) + bytes.len() as u64;
        if self.union.is_same_file(source.at, target.at) && overlaps {
            return Err(Errno::INVAL);
        }
        if !bytes.is_empty() {
            let inode = self.changed(to)?;
            self.remove_privileges(user, inode);
            self.change(inode, |content| put(content, to_offset as usize, &bytes));
        }
        Ok(Answer::Count(bytes.len() as u64))
    }

    pub(super) fn allocate(
        &mut self,
        user: User,
        slot: Slot,
        how: Allocate,
        offset: u32,
        length: u32,
    ) -> Result<Answer, Errno> {
        let open = self.slot(slot)?;
        if length == 0 {
            return Err(Errno::INVAL);
        }
        if !open.access.writes() {
            return Err(Errno::BADF);
        }
        let inode = self.changed(slot)?;
        self.remove_privileges(user, inode);
        let (start, end) = (offset as usize, offset as usize + length as usize);
        self.change(inode, |content| match how {
            Allocate::Extend => content.resize(content.len().max(end), 0),
            Allocate::KeepSize => {}
            Allocate::Punch => {
                let end = end.min(content.len());
                content[start.min(end)..end].fill(0);
            }
        });
        Ok(Answer::Done)
    }

    pub(super) fn truncate(&mut self, user: User, target: &Target, length: u32) -> Result<Answer, Errno> {
        let inode = match target {
            Target::Path(path) => {
                let (path, seen) = self.existing(user, path, Last::FOLLOWED)?;
                match self.union.inode(seen.top()).body {
                    Body::Directory(_) => return Err(Errno::ISDIR),
                    Body::File(_) => {}
                    _ => return Err(Errno::INVAL),
                }
                self.may(user, &seen, WRITE)?;
                self.copied_up_whole(&path)?
            }
            Target::Slot(slot) => {
                let open = self.slot(*slot)?;
                if !open.access.writes() {
                    return Err(Errno::INVAL);
                }
                self.changed(*slot)?
            }
        };
        self.remove_privileges(user, inode);
        self.change(inode, |content| content.resize(length as usize, 0));
        Ok(Answer::Done)
    }
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

fn part(content: &[u8], offset: u32, length: u32) -> &[u8] {
    let start = (offset as usize).min(content.len());
    &content[start..start.saturating_add(length as usize).min(content.len())]
}
