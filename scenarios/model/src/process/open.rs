//! Opening files: open(2), `do_open` and `may_open` of `fs/namei.c`.

use super::acl::inherited;
use super::walk::Last;
use super::{Machine, Open, READ, SEARCH, WRITE};
use crate::errno::Errno;
use crate::inode::{At, Body, Inode, Meta, Node, mode};
use crate::operation::{Access, Answer, Flags, Slot, User};
use crate::text::Text;
use crate::union::Seen;

impl Machine {
    pub(super) fn open(
        &mut self,
        user: User,
        slot: Slot,
        path: &Text,
        flags: Flags,
        bits: u32,
    ) -> Result<Answer, Errno> {
        self.open.remove(&slot);
        if flags.path_only {
            return self.open_path(user, slot, path, flags);
        }
        // `build_open_flags` of `fs/open.c`.
        if flags.create && flags.directory {
            return Err(Errno::INVAL);
        }
        let is_followed = !(flags.no_follow || flags.create && flags.exclusive);
        let place = self.walk(user, path, Last::opened(is_followed, flags.create))?;
        let Some(seen) = place.seen.clone() else {
            if !flags.create {
                return Err(Errno::NOENT);
            }
            self.may_create(user, &place.path)?;
            let inode = self.make(user, &place.path, bits, Body::File(Vec::new()))?;
            let at = At { layer: self.union.depth(), inode };
            self.hold(slot, at, place.path, flags);
            return Ok(Answer::Done);
        };
        self.may_open(user, &place.path, &seen, flags)?;
        let inode = self.union.inode(seen.top());
        if !inode.is_directory() && !inode.is_file() {
            return node_opens(inode, flags);
        }
        // `do_dentry_open` of `fs/open.c`.
        if flags.direct && !inode.is_file() {
            return Err(Errno::INVAL);
        }
        if inode.is_file() && (flags.access.writes() || flags.truncate) {
            let inode = self.copied_up_whole(&place.path)?;
            if flags.truncate {
                self.remove_privileges(user, inode);
                self.change(inode, |bytes| bytes.clear());
            }
        }
        let at = self.union.at(&place.path).ok_or(Errno::NOENT)?.top();
        self.hold(slot, at, place.path, flags);
        Ok(Answer::Done)
    }

    /// `O_PATH` (open(2)): nothing is asked of what is there, and it is not copied up.
    fn open_path(&mut self, user: User, slot: Slot, path: &Text, flags: Flags) -> Result<Answer, Errno> {
        let (path, seen) = self.existing(user, path, Last::opened(!flags.no_follow, false))?;
        let inode = self.union.inode(seen.top());
        if flags.directory && !inode.is_directory() {
            return Err(Errno::NOTDIR);
        }
        if inode.is_directory() || inode.is_file() {
            self.hold(slot, seen.top(), path, flags);
        }
        Ok(Answer::Done)
    }

    /// `do_open` and `may_open` of `fs/namei.c`.
    pub(super) fn may_open(&self, user: User, path: &[Text], seen: &Seen, flags: Flags) -> Result<(), Errno> {
        let inode = self.union.inode(seen.top());
        if flags.create {
            if flags.exclusive {
                return Err(Errno::EXIST);
            }
            if inode.is_directory() {
                return Err(Errno::ISDIR);
            }
            self.may_reuse(user, path, inode)?;
        }
        if flags.directory && !inode.is_directory() {
            return Err(Errno::NOTDIR);
        }
        let writes = flags.access.asks_to_write() || flags.truncate;
        match &inode.body {
            Body::Symlink(_) => return Err(Errno::LOOP),
            Body::Directory(_) if writes => return Err(Errno::ISDIR),
            Body::Node(Node::Character { .. } | Node::Block { .. }) if !self.promises.first_namespace => {
                return Err(Errno::ACCES);
            }
            _ => {}
        }
        let wanted = if flags.access.asks_to_read() { READ } else { 0 } | if writes { WRITE } else { 0 };
        self.may(user, seen, wanted)?;
        match flags.no_access_time && !user.owns(&inode.meta) {
            true => Err(Errno::PERM),
            false => Ok(()),
        }
    }

    /// `/proc/sys/fs/protected_regular` and `protected_fifos` (proc_sys_fs(5)).
    pub(super) fn may_reuse(&self, user: User, path: &[Text], inode: &Inode) -> Result<(), Errno> {
        let level = match inode.body {
            Body::File(_) => self.promises.protected.regular,
            Body::Node(Node::Fifo) => self.promises.protected.fifos,
            _ => 1,
        };
        let Some((_, parent)) = self.parent(path) else { return Ok(()) };
        let parent = self.meta(&parent);
        let is_trusted = inode.meta.uid == parent.uid || inode.meta.uid == user.id();
        let is_shared = parent.mode & mode::OTHERS_WRITE != 0 || level >= 2 && parent.mode & 0o020 != 0;
        match level > 0 && parent.mode & mode::STICKY != 0 && !is_trusted && is_shared {
            true => Err(Errno::ACCES),
            false => Ok(()),
        }
    }

    pub(super) fn hold(&mut self, slot: Slot, at: At, path: Vec<Text>, flags: Flags) {
        let open = Open {
            at,
            path,
            access: flags.access,
            append: flags.append,
            is_linkable: false,
            is_path_only: flags.path_only,
        };
        self.open.insert(slot, open);
    }

    pub(super) fn open_unnamed(&mut self, user: User, slot: Slot, path: &Text, bits: u32) -> Result<Answer, Errno> {
        self.open.remove(&slot);
        let (path, seen) = self.existing(user, path, Last::FOLLOWED)?;
        if !matches!(seen, Seen::Directory(_)) {
            return Err(Errno::NOTDIR);
        }
        self.may(user, &seen, WRITE | SEARCH)?;
        let directory = self.copied_up(&path)?;
        let directory = &self.union.upper_mut(directory).meta;
        let gid = if directory.mode & mode::SET_GID != 0 { directory.gid } else { user.id() };
        let (bits, xattrs) = inherited(directory, bits, false);
        let meta = Meta { mode: bits, uid: user.id(), gid, mtime: self.union.now(), xattrs };
        let inode = self.union.add(meta, Body::File(Vec::new()));
        let at = At { layer: self.union.depth(), inode };
        let open = Open {
            at,
            path: Vec::new(),
            access: Access::ReadWrite,
            append: false,
            is_linkable: true,
            is_path_only: false,
        };
        self.open.insert(slot, open);
        Ok(Answer::Done)
    }

    /// What is open for more than its name.
    pub(super) fn slot(&self, slot: Slot) -> Result<&Open, Errno> {
        self.open.get(&slot).filter(|open| !open.is_path_only).ok_or(Errno::BADF)
    }
}

/// What opening a node without a reader or a driver gives (open(2), `O_NONBLOCK`); it is closed at once.
pub(super) fn node_opens(inode: &Inode, flags: Flags) -> Result<Answer, Errno> {
    match inode.body {
        Body::Node(Node::Fifo) if flags.access.reads() && flags.direct => Err(Errno::INVAL),
        Body::Node(Node::Fifo) if flags.access.reads() => Ok(Answer::Done),
        // `fifo_open` of `fs/pipe.c`.
        Body::Node(Node::Fifo) if flags.access == Access::Neither => Err(Errno::INVAL),
        _ => Err(Errno::NXIO),
    }
}
