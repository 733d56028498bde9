//! Names: making them, giving further ones, taking them away, and reading what directories and links hold.

use super::walk::{End, Last, PATH_BYTES_MAX, parent_of};
use super::{Machine, READ, WHITEOUT, WRITE};
use crate::errno::Errno;
use crate::inode::{Body, Directory, Node, mode};
use crate::operation::{Answer, Slot, User};
use crate::text::Text;
use crate::union::Seen;

impl Machine {
    pub(super) fn mkdir(&mut self, user: User, path: &Text, bits: u32) -> Result<Answer, Errno> {
        let path = self.vacant(user, path, true)?;
        self.may_create(user, &path)?;
        // mkdir(2): the set-user-ID and set-group-ID bits that are asked for are not given.
        self.make(user, &path, bits & 0o1777, Body::Directory(Directory::default()))?;
        Ok(Answer::Done)
    }

    pub(super) fn mknod(&mut self, user: User, path: &Text, node: Node, bits: u32) -> Result<Answer, Errno> {
        let path = self.vacant(user, path, false)?;
        self.may_create(user, &path)?;
        let is_device = matches!(node, Node::Character { .. } | Node::Block { .. });
        // overlayfs: what would be a whiteout is not made by hand (`ovl_mknod` of `fs/overlayfs/dir.c`).
        if node == WHITEOUT || is_device && !(user.has_capabilities() && self.promises.first_namespace) {
            return Err(Errno::PERM);
        }
        self.make(user, &path, bits, Body::Node(node))?;
        Ok(Answer::Done)
    }

    pub(super) fn mknod_file(&mut self, user: User, path: &Text, bits: u32) -> Result<Answer, Errno> {
        let path = self.vacant(user, path, false)?;
        self.may_create(user, &path)?;
        self.make(user, &path, bits, Body::File(Vec::new()))?;
        Ok(Answer::Done)
    }

    pub(super) fn symlink(&mut self, user: User, content: &Text, path: &Text) -> Result<Answer, Errno> {
        if content.0.is_empty() {
            return Err(Errno::NOENT);
        }
        if content.0.len() >= PATH_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let path = self.vacant(user, path, false)?;
        self.may_create(user, &path)?;
        self.make(user, &path, 0o777, Body::Symlink(content.clone()))?;
        Ok(Answer::Done)
    }

    pub(super) fn link(&mut self, user: User, from: &Text, to: &Text) -> Result<Answer, Errno> {
        let (from, seen) = self.existing(user, from, Last::ITSELF)?;
        let to = self.vacant(user, to, false)?;
        self.may_link(user, &seen)?;
        self.may_create(user, &to)?;
        if matches!(seen, Seen::Directory(_)) {
            return Err(Errno::PERM);
        }
        let inode = self.copied_up(&from)?;
        self.give_further_name(&from, &to, inode)?;
        Ok(Answer::Done)
    }

    /// `/proc/sys/fs/protected_hardlinks` (proc_sys_fs(5)): what is not one's own must be a plain file that one may read
    /// and write.
    pub(super) fn may_link(&self, user: User, seen: &Seen) -> Result<(), Errno> {
        let inode = self.union.inode(seen.top());
        let gives_group =
            inode.meta.mode & (mode::SET_GID | mode::GROUP_EXECUTE) == mode::SET_GID | mode::GROUP_EXECUTE;
        let is_safe = inode.is_file()
            && inode.meta.mode & mode::SET_UID == 0
            && !gives_group
            && self.may(user, seen, READ | WRITE).is_ok();
        match self.promises.protected.hardlinks && !is_safe && !user.owns(&inode.meta) {
            true => Err(Errno::PERM),
            false => Ok(()),
        }
    }

    /// overlayfs: content that still lies below is to be found by the further name, too (`ovl_link` of `fs/overlayfs/dir.c`).
    fn give_further_name(&mut self, from: &[Text], to: &[Text], inode: usize) -> Result<(), Errno> {
        self.copied_up(parent_of(to))?;
        if !self.union.redirect(inode, from, false) {
            return Err(Errno::XDEV);
        }
        self.give_name(to, inode)
    }

    pub(super) fn give_name(&mut self, path: &[Text], inode: usize) -> Result<(), Errno> {
        let (name, parent) = path.split_last().ok_or(Errno::EXIST)?;
        let parent = self.copied_up(parent)?;
        self.union.name(parent, name, inode);
        self.union.touch(parent);
        Ok(())
    }

    /// linkat(2) with `AT_EMPTY_PATH`: a file that lost its last name gets none again, one that never had one does.
    pub(super) fn link_slot(&mut self, user: User, slot: Slot, to: &Text) -> Result<Answer, Errno> {
        let open = self.open.get(&slot).ok_or(Errno::BADF)?.clone();
        let to = self.vacant(user, to, false)?;
        self.may_create(user, &to)?;
        let inode = self.union.inode(open.at);
        if inode.is_directory() {
            return Err(Errno::PERM);
        }
        let is_nameless = match self.union.is_upper(open.at) {
            true => self.union.links(open.at) == 0,
            false => self.union.at(&open.path).is_none_or(|seen| seen.top() != open.at),
        };
        if is_nameless && !open.is_linkable {
            return Err(Errno::NOENT);
        }
        let inode = self.changed_of(&open)?;
        self.give_further_name(&open.path, &to, inode)?;
        if let Some(open) = self.open.get_mut(&slot) {
            open.is_linkable = false;
        }
        Ok(Answer::Done)
    }

    /// unlink(2); the order is `do_unlinkat`'s of `fs/namei.c`.
    pub(super) fn unlink(&mut self, user: User, path: &Text) -> Result<Answer, Errno> {
        let place = self.walk_to_last(user, path, Last::NAME)?;
        if place.end != End::Name {
            return Err(Errno::ISDIR);
        }
        let has_slash = place.has_slash;
        let (path, seen) = place.there()?;
        if has_slash {
            return Err(if matches!(seen, Seen::Directory(_)) { Errno::ISDIR } else { Errno::NOTDIR });
        }
        self.may_delete(user, &path, &seen, false)?;
        self.take_name(&path)?;
        Ok(Answer::Done)
    }

    /// rmdir(2); the order is `do_rmdir`'s of `fs/namei.c`.
    pub(super) fn rmdir(&mut self, user: User, path: &Text) -> Result<Answer, Errno> {
        let place = self.walk_to_last(user, path, Last::NAME)?;
        match place.end {
            End::Above => return Err(Errno::NOTEMPTY),
            End::Here => return Err(Errno::INVAL),
            End::Root => return Err(Errno::BUSY),
            End::Name => {}
        }
        let (path, seen) = place.there()?;
        self.may_delete(user, &path, &seen, true)?;
        self.is_empty(&seen)?;
        self.take_name(&path)?;
        Ok(Answer::Done)
    }

    pub(super) fn is_empty(&self, seen: &Seen) -> Result<(), Errno> {
        match seen {
            Seen::Directory(stack) if !self.union.names(stack).is_empty() => Err(Errno::NOTEMPTY),
            _ => Ok(()),
        }
    }

    /// overlayfs: what the index keeps is copied up first, to count its names (`ovl_nlink_start` of `fs/overlayfs/util.c`).
    pub(super) fn take_name(&mut self, path: &[Text]) -> Result<(), Errno> {
        if self.union.is_kept_whole(self.union.at(path).ok_or(Errno::NOENT)?.top()) {
            self.copied_up(path)?;
        }
        let (name, parent) = path.split_last().ok_or(Errno::BUSY)?;
        let parent = self.copied_up(parent)?;
        self.union.remove(parent, name);
        self.union.touch(parent);
        Ok(())
    }

    pub(super) fn read_link(&self, user: User, path: &Text) -> Result<Answer, Errno> {
        let (_, seen) = self.existing(user, path, Last::ITSELF)?;
        self.link_content(&seen).map(|content| Answer::Bytes(content.0.clone())).ok_or(Errno::INVAL)
    }

    pub(super) fn list(&self, user: User, path: &Text) -> Result<Answer, Errno> {
        let (_, seen) = self.existing(user, path, Last::FOLLOWED)?;
        let Seen::Directory(stack) = &seen else { return Err(Errno::NOTDIR) };
        self.may(user, &seen, READ)?;
        Ok(Answer::Names(self.union.names(stack).into_iter().collect()))
    }
}
