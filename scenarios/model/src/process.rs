//! What every operation does to the tree, and why it is refused: Linux's rules for one process on one union mount.
//!
//! *Source*: the system calls' manual pages and POSIX for what happens; the order of the refusals is the kernel's
//! (`fs/namei.c`, `fs/open.c`, `fs/attr.c`, `fs/xattr.c`), since several reasons can hold at once. What overlayfs adds is
//! marked "overlayfs". *Holds*: a refused operation changes nothing. *Proved by*: the laws, with a plain directory as
//! subject (Linux's own rules) and with every union mount.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::errno::Errno;
use crate::inode::{At, Body, Directory, Inode, Meta, Node, Stamp, mode};
use crate::operation::{Access, Allocate, Answer, Before, Flags, Operation, Replace, Slot, Step, Target, User};
use crate::promises::Promises;
use crate::text::Text;
use crate::union::{Seen, Union};

/// Longest name of a file (`NAME_MAX`).
const NAME_BYTES_MAX: usize = 255;
/// Longest path, its final zero byte included (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;
/// How long a redirect can be whatever has moved before.
const REDIRECT_BYTES_SURE: usize = 64;
/// How many symbolic links one path may lead through (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// The IDs of [`User::Other`].
pub const OTHER_ID: u32 = 1000;

const READ: u32 = 0o4;
const WRITE: u32 = 0o2;
const SEARCH: u32 = 0o1;

/// An open file.
#[derive(Debug, Clone)]
struct Open {
    at: At,
    /// The names that it was opened by, as they are now.
    path: Vec<Text>,
    access: Access,
    append: bool,
    is_linkable: bool,
}

/// Where a path leads.
struct Place {
    /// Real names from the root, of something that need not be there.
    path: Vec<Text>,
    seen: Option<Seen>,
}

impl Place {
    /// The last name is looked up only when every directory before it is found.
    fn looked_up(self) -> Result<Place, Errno> {
        match self.path.last() {
            Some(name) if name.as_bytes().len() > NAME_BYTES_MAX => Err(Errno::NAMETOOLONG),
            _ => Ok(self),
        }
    }

    fn there(self) -> Result<(Vec<Text>, Seen), Errno> {
        let Place { path, seen } = self.looked_up()?;
        seen.map(|seen| (path, seen)).ok_or(Errno::NOENT)
    }
}

/// A mounted union and the processes that use it.
#[derive(Debug, Clone)]
pub struct Machine {
    union: Union,
    promises: Promises,
    open: HashMap<Slot, Open>,
    /// What was copied up since the mount.
    copies: HashSet<usize>,
}

impl User {
    /// User and group ID, the same number.
    pub fn id(self) -> u32 {
        match self {
            User::Root => 0,
            User::Other => OTHER_ID,
        }
    }

    fn has_capabilities(self) -> bool {
        self == User::Root
    }

    fn owns(self, meta: &Meta) -> bool {
        self.has_capabilities() || meta.uid == self.id()
    }

    fn is_in_group(self, gid: u32) -> bool {
        self.has_capabilities() || gid == self.id()
    }
}

impl Machine {
    /// A machine with an empty root directory of mode 0755 that is root's.
    pub fn new(promises: Promises) -> Machine {
        let root = Meta { mode: 0o755, uid: 0, gid: 0, mtime: Stamp::Clock(0), xattrs: BTreeMap::new() };
        Machine { union: Union::new(root), promises, open: HashMap::new(), copies: HashSet::new() }
    }

    /// The tree as it is.
    pub fn union(&self) -> &Union {
        &self.union
    }

    /// The numbers of the files that are open, sorted.
    pub fn open_slots(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.open.keys().copied().collect();
        slots.sort_unstable();
        slots
    }

    /// What it promises.
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// Whether nothing is promised about what comes of `step`, so that it is better not done.
    pub fn promises_nothing_of(&self, step: &Step) -> bool {
        let at = match &step.operation {
            Operation::Link { from, .. } => self.walk(step.user, from, false).ok().and_then(|place| place.seen),
            Operation::LinkSlot { slot, .. } => self.open.get(slot).map(|open| Seen::Other(open.at)),
            _ => None,
        };
        if let Operation::Allocate { slot, how: Allocate::Punch, .. } = &step.operation
            && !self.promises.punching_takes_privileges
            && let Some(open) = self.open.get(slot)
        {
            let meta = &self.union.inode(open.at).meta;
            let set_ids = mode::SET_UID | mode::SET_GID;
            return meta.mode & set_ids != 0 || meta.xattrs.contains_key(&Text::from(CAPABILITY));
        }
        if let Operation::Rename { from, to, replace: Replace::Yes | Replace::No } = &step.operation
            && let (Ok(old), Ok(new)) = (self.walk(step.user, from, false), self.walk(step.user, to, false))
            && matches!(old.seen, Some(Seen::Directory(_)))
        {
            let is_exchange =
                new.seen.is_none() && self.union.hides(&new.path) && parent_of(&old.path) != parent_of(&new.path);
            let is_refused = new.seen.is_some_and(|target| self.is_empty(&target).is_err());
            let keeps_times = self.promises.exchanged_directories_keep_their_time || !is_exchange;
            if !keeps_times || is_refused && self.union.hides(&old.path) && !self.promises.refused_whiteouts_keep_times
            {
                return true;
            }
        }
        if let Operation::Rename { from, to, .. } = &step.operation
            && self.promises.lower_directories_move
        {
            return [from, to].iter().any(|path| path.as_bytes().len() > REDIRECT_BYTES_SURE);
        }
        let is_copy = |at: At| !self.union.is_upper(at) || self.copies.contains(&at.inode);
        !self.promises.copies_can_be_linked && at.is_some_and(|seen| is_copy(seen.top()))
    }

    /// Does one thing.
    pub fn step(&mut self, step: &Step) -> Result<Answer, Errno> {
        let result = self.perform(step.user, &step.operation);
        self.follow_copies();
        result
    }

    fn perform(&mut self, user: User, operation: &Operation) -> Result<Answer, Errno> {
        match operation {
            Operation::Open { slot, path, flags, mode } => self.open(user, *slot, path, *flags, *mode),
            Operation::OpenUnnamed { slot, path, mode } => self.open_unnamed(user, *slot, path, *mode),
            Operation::Close { slot } => self.open.remove(slot).map(|_| Answer::Done).ok_or(Errno::BADF),
            Operation::Write { slot, offset, fill } => self.write(user, *slot, *offset, &fill.bytes()),
            Operation::Read { slot, offset, length } => self.read(*slot, *offset, *length),
            Operation::MapWrite { slot, offset, fill } => self.map_write(*slot, *offset, &fill.bytes()),
            Operation::CopyRange { from, from_offset, to, to_offset, length } => {
                self.copy_range(user, (*from, *from_offset), (*to, *to_offset), *length)
            }
            Operation::Allocate { slot, how, offset, length } => self.allocate(user, *slot, *how, *offset, *length),
            Operation::Truncate { target, length } => self.truncate(user, target, *length),
            Operation::Chmod { target, mode } => self.chmod(user, target, *mode),
            Operation::Chown { target, uid, gid } => self.chown(user, target, *uid, *gid),
            Operation::SetTime { target, time } => self.set_time(user, target, Stamp::Set(*time)),
            Operation::SetXattr { target, name, value, before } => {
                self.set_xattr(user, target, name, value.as_bytes(), *before)
            }
            Operation::RemoveXattr { target, name } => self.remove_xattr(user, target, name),
            Operation::Mkdir { path, mode } => self.mkdir(user, path, *mode),
            Operation::Mknod { path, node, mode } => self.mknod(user, path, *node, *mode),
            Operation::Symlink { content, path } => self.symlink(user, content, path),
            Operation::Link { from, to } => self.link(user, from, to),
            Operation::LinkSlot { slot, to } => self.link_slot(user, *slot, to),
            Operation::Rename { from, to, replace } => self.rename(user, from, to, *replace),
            Operation::Unlink { path } => self.unlink(user, path),
            Operation::Rmdir { path } => self.rmdir(user, path),
            Operation::ReadLink { path } => self.read_link(user, path),
            Operation::List { path } => self.list(user, path),
            Operation::Remount => {
                self.unmount();
                Ok(Answer::Done)
            }
            Operation::Commit => {
                self.unmount();
                if self.promises.layers {
                    self.union.freeze(self.promises.root_is_inherited);
                }
                Ok(Answer::Done)
            }
        }
    }

    fn unmount(&mut self) {
        self.open.clear();
        self.copies.clear();
    }

    // --- paths ---

    fn meta(&self, seen: &Seen) -> &Meta {
        &self.union.inode(seen.top()).meta
    }

    fn link_content(&self, seen: &Seen) -> Option<&Text> {
        match &self.union.inode(seen.top()).body {
            Body::Symlink(content) => Some(content),
            _ => None,
        }
    }

    /// Whether `user` may do all of `wanted`: the owner's bits for the owner, the group's for the group, else the
    /// others' (path_resolution(7)). Root may read and write everything and search every directory.
    fn may(&self, user: User, seen: &Seen, wanted: u32) -> Result<(), Errno> {
        let meta = self.meta(seen);
        let shift = match () {
            () if user.has_capabilities() => return Ok(()),
            () if meta.uid == user.id() => 6,
            () if user.is_in_group(meta.gid) => 3,
            () => 0,
        };
        if meta.mode >> shift & wanted == wanted { Ok(()) } else { Err(Errno::ACCES) }
    }

    /// Walks along `path` (path_resolution(7)); its last name, when it is a symbolic link, is followed if `follow`.
    fn walk(&self, user: User, path: &Text, follow: bool) -> Result<Place, Errno> {
        self.walk_to_last(user, path, follow)?.looked_up()
    }

    /// The same, except that the last name may be too long.
    fn walk_to_last(&self, user: User, path: &Text, follow: bool) -> Result<Place, Errno> {
        if path.0.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.0.len() >= PATH_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let mut left = names_backwards(path);
        let mut links = 0;
        let mut here: Vec<(Vec<Text>, Seen)> = vec![(Vec::new(), self.union.root())];
        while let Some(name) = left.pop() {
            let (at, seen) = here.last().ok_or(Errno::NOENT)?;
            let Seen::Directory(stack) = seen else { return Err(Errno::NOTDIR) };
            self.may(user, seen, SEARCH)?;
            match name.as_bytes() {
                b"." => continue,
                b".." => {
                    here.truncate((here.len() - 1).max(1));
                    continue;
                }
                name if name.len() > NAME_BYTES_MAX && !left.is_empty() => return Err(Errno::NAMETOOLONG),
                _ => {}
            }
            let path = [&at[..], std::slice::from_ref(&name)].concat();
            let is_last = left.is_empty();
            let Some(found) = self.union.child(stack, &name) else {
                return if is_last { Ok(Place { path, seen: None }) } else { Err(Errno::NOENT) };
            };
            match self.link_content(&found) {
                Some(content) if follow || !is_last => {
                    self.may_follow(user, seen, &found)?;
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    if content.as_bytes().starts_with(b"/") {
                        here.truncate(1);
                    }
                    left.extend(names_backwards(content));
                }
                _ => here.push((path, found)),
            }
        }
        let (path, seen) = here.pop().ok_or(Errno::NOENT)?;
        Ok(Place { path, seen: Some(seen) })
    }

    /// `/proc/sys/fs/protected_symlinks` (proc_sys_fs(5)).
    fn may_follow(&self, user: User, directory: &Seen, link: &Seen) -> Result<(), Errno> {
        let (directory, link) = (self.meta(directory), self.meta(link));
        let is_shared = directory.mode & mode::STICKY != 0 && directory.mode & mode::OTHERS_WRITE != 0;
        let is_trusted = link.uid == user.id() || link.uid == directory.uid;
        match self.promises.protected.symlinks && is_shared && !is_trusted {
            true => Err(Errno::ACCES),
            false => Ok(()),
        }
    }

    /// What is at `path`, its last link followed or not.
    fn existing(&self, user: User, path: &Text, follow: bool) -> Result<(Vec<Text>, Seen), Errno> {
        self.walk(user, path, follow)?.there()
    }

    /// The directory that holds the last name of `path`; the root has none.
    fn parent(&self, path: &[Text]) -> Option<(Vec<Text>, Seen)> {
        let (_, parent) = path.split_last()?;
        Some((parent.to_vec(), self.union.at(parent)?))
    }

    /// Where something new may be made: nothing is there, and `user` may write into the directory.
    fn vacant(&self, user: User, path: &Text) -> Result<Vec<Text>, Errno> {
        let place = self.walk(user, path, false)?;
        if place.seen.is_some() {
            return Err(Errno::EXIST);
        }
        let (_, parent) = self.parent(&place.path).ok_or(Errno::EXIST)?;
        self.may(user, &parent, WRITE | SEARCH)?;
        Ok(place.path)
    }

    /// Whether `user` may take the name at `path` away (`may_delete` of `fs/namei.c`); `as_directory` says whether a
    /// directory or something else is to stand, or to have stood, there.
    fn may_delete(&self, user: User, path: &[Text], victim: &Seen, as_directory: bool) -> Result<(), Errno> {
        let (_, parent) = self.parent(path).ok_or(Errno::BUSY)?;
        self.may(user, &parent, WRITE | SEARCH)?;
        let parent = self.meta(&parent);
        if parent.mode & mode::STICKY != 0 && !user.owns(self.meta(victim)) && !user.owns(parent) {
            return Err(Errno::PERM);
        }
        match (as_directory, matches!(victim, Seen::Directory(_))) {
            (true, false) => Err(Errno::NOTDIR),
            (false, true) => Err(Errno::ISDIR),
            _ => Ok(()),
        }
    }

    // --- the upper layer ---

    /// The upper inode of what is at `path`, which is there.
    fn copied_up(&mut self, path: &[Text]) -> Result<usize, Errno> {
        self.union.copy_up(path).ok_or(Errno::NOENT)
    }

    /// Open files go on with the copy. A file that has several names in a lower layer is, by each of them, a file of its
    /// own (overlayfs, "Non-standard behavior").
    fn follow_copies(&mut self) {
        for moved in self.union.take_moved() {
            self.copies.insert(moved.to.inode);
            let is_one = self.union.inode(moved.from).links <= 1;
            for open in self.open.values_mut() {
                if open.at == moved.from && (is_one || open.path == moved.path) {
                    open.at = moved.to;
                }
            }
        }
    }

    /// Gives `path`, where nothing is, a new inode; its group is the directory's if that has the set-group-ID bit
    /// (inode(7)).
    fn make(&mut self, user: User, path: &[Text], mut bits: u32, body: Body) -> Result<usize, Errno> {
        let (name, parent) = path.split_last().ok_or(Errno::EXIST)?;
        let parent = self.copied_up(parent)?;
        let directory = &self.union.upper_mut(parent).meta;
        let mut gid = user.id();
        if directory.mode & mode::SET_GID != 0 {
            gid = directory.gid;
            if matches!(body, Body::Directory(_)) {
                bits |= mode::SET_GID;
            } else if bits & (mode::SET_GID | mode::GROUP_EXECUTE) == mode::SET_GID | mode::GROUP_EXECUTE
                && !user.is_in_group(gid)
            {
                bits &= !mode::SET_GID;
            }
        }
        let meta = Meta { mode: bits, uid: user.id(), gid, mtime: self.union.now(), xattrs: BTreeMap::new() };
        let inode = self.union.add(meta, body);
        self.union.name(parent, name, inode);
        self.union.touch(parent);
        Ok(inode)
    }

    // --- opening ---

    fn open(&mut self, user: User, slot: Slot, path: &Text, flags: Flags, bits: u32) -> Result<Answer, Errno> {
        self.open.remove(&slot);
        let is_followed = !(flags.no_follow || flags.create && flags.exclusive);
        let place = self.walk(user, path, is_followed)?;
        let Some(seen) = place.seen.clone() else {
            if !flags.create {
                return Err(Errno::NOENT);
            }
            let (_, parent) = self.parent(&place.path).ok_or(Errno::NOENT)?;
            self.may(user, &parent, WRITE | SEARCH)?;
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
        if inode.is_file() && (flags.access.writes() || flags.truncate) {
            let inode = self.copied_up(&place.path)?;
            if flags.truncate {
                self.remove_privileges(user, inode);
                self.change(inode, |bytes| bytes.clear());
            }
        }
        let at = self.union.at(&place.path).ok_or(Errno::NOENT)?.top();
        self.hold(slot, at, place.path, flags);
        Ok(Answer::Done)
    }

    /// `do_open` and `may_open` of `fs/namei.c`.
    fn may_open(&self, user: User, path: &[Text], seen: &Seen, flags: Flags) -> Result<(), Errno> {
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
        let writes = flags.access.writes() || flags.truncate;
        match &inode.body {
            Body::Symlink(_) => return Err(Errno::LOOP),
            Body::Directory(_) if writes => return Err(Errno::ISDIR),
            Body::Node(Node::Character { .. } | Node::Block { .. }) if !self.promises.first_namespace => {
                return Err(Errno::ACCES);
            }
            _ => {}
        }
        let wanted = if flags.access.reads() { READ } else { 0 } | if writes { WRITE } else { 0 };
        self.may(user, seen, wanted)
    }

    /// `/proc/sys/fs/protected_regular` and `protected_fifos` (proc_sys_fs(5)).
    fn may_reuse(&self, user: User, path: &[Text], inode: &Inode) -> Result<(), Errno> {
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

    fn hold(&mut self, slot: Slot, at: At, path: Vec<Text>, flags: Flags) {
        let open = Open { at, path, access: flags.access, append: flags.append, is_linkable: false };
        self.open.insert(slot, open);
    }

    fn open_unnamed(&mut self, user: User, slot: Slot, path: &Text, bits: u32) -> Result<Answer, Errno> {
        self.open.remove(&slot);
        let (path, seen) = self.existing(user, path, true)?;
        if !matches!(seen, Seen::Directory(_)) {
            return Err(Errno::NOTDIR);
        }
        self.may(user, &seen, WRITE | SEARCH)?;
        let directory = self.copied_up(&path)?;
        let directory = &self.union.upper_mut(directory).meta;
        let gid = if directory.mode & mode::SET_GID != 0 { directory.gid } else { user.id() };
        let meta = Meta { mode: bits, uid: user.id(), gid, mtime: self.union.now(), xattrs: BTreeMap::new() };
        let inode = self.union.add(meta, Body::File(Vec::new()));
        let at = At { layer: self.union.depth(), inode };
        let open = Open { at, path: Vec::new(), access: Access::ReadWrite, append: false, is_linkable: true };
        self.open.insert(slot, open);
        Ok(Answer::Done)
    }

    fn slot(&self, slot: Slot) -> Result<&Open, Errno> {
        self.open.get(&slot).ok_or(Errno::BADF)
    }

    // --- contents ---

    /// The upper inode of an open file that is to be changed.
    fn changed(&mut self, slot: Slot) -> Result<usize, Errno> {
        let open = self.slot(slot)?.clone();
        if self.union.is_upper(open.at) {
            return Ok(open.at.inode);
        }
        match self.union.at(&open.path) {
            Some(seen) if seen.top() == open.at => self.copied_up(&open.path),
            // overlayfs: the copy of a file that is open, and whose name is gone, is put where the name was, and finds the
            // whiteout there (`ovl_copy_up_one` of `fs/overlayfs/copy_up.c`).
            _ if self.union.inode(open.at).is_directory() => Err(Errno::NOTDIR),
            _ => Err(Errno::EXIST),
        }
    }

    fn change(&mut self, inode: usize, change: impl FnOnce(&mut Vec<u8>)) {
        if let Body::File(bytes) = &mut self.union.upper_mut(inode).body {
            change(bytes);
        }
        self.union.touch(inode);
    }

    /// A write takes capabilities away, and from those without `CAP_FSETID` the bits that give privileges, too
    /// (capabilities(7), `file_remove_privs` of `fs/inode.c`).
    fn remove_privileges(&mut self, user: User, inode: usize) {
        let keeps_bits = user.has_capabilities() && self.promises.first_namespace;
        let meta = &mut self.union.upper_mut(inode).meta;
        meta.xattrs.remove(&Text::from(CAPABILITY));
        if !keeps_bits {
            meta.mode &= !mode::SET_UID;
            meta.mode &= !set_gid_to_drop(user, meta);
        }
    }

    fn write(&mut self, user: User, slot: Slot, offset: u32, bytes: &[u8]) -> Result<Answer, Errno> {
        let open = self.slot(slot)?;
        if !open.access.writes() {
            return Err(Errno::BADF);
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

    fn content(&self, open: &Open) -> Result<&[u8], Errno> {
        match &self.union.inode(open.at).body {
            Body::File(bytes) => Ok(bytes),
            _ => Err(Errno::ISDIR),
        }
    }

    fn read(&self, slot: Slot, offset: u32, length: u32) -> Result<Answer, Errno> {
        let open = self.slot(slot)?;
        if !open.access.reads() {
            return Err(Errno::BADF);
        }
        Ok(Answer::Bytes(part(self.content(open)?, offset, length).to_vec()))
    }

    /// A shared mapping writes past the checks of write(2): no privilege is removed (mmap(2)). Beyond the end of the file
    /// the process would die of a signal; that is not tried.
    fn map_write(&mut self, slot: Slot, offset: u32, bytes: &[u8]) -> Result<Answer, Errno> {
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

    fn copy_range(
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

    fn allocate(&mut self, user: User, slot: Slot, how: Allocate, offset: u32, length: u32) -> Result<Answer, Errno> {
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

    fn truncate(&mut self, user: User, target: &Target, length: u32) -> Result<Answer, Errno> {
        let inode = match target {
            Target::Path(path) => {
                let (path, seen) = self.existing(user, path, true)?;
                match self.union.inode(seen.top()).body {
                    Body::Directory(_) => return Err(Errno::ISDIR),
                    Body::File(_) => {}
                    _ => return Err(Errno::INVAL),
                }
                self.may(user, &seen, WRITE)?;
                self.copied_up(&path)?
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

    // --- attributes ---

    /// What `target` is, and the upper inode of it once somebody asks.
    fn target(&self, user: User, target: &Target, follow: bool) -> Result<At, Errno> {
        match target {
            Target::Path(path) => Ok(self.existing(user, path, follow)?.1.top()),
            Target::Slot(slot) => Ok(self.slot(*slot)?.at),
        }
    }

    fn changed_target(&mut self, user: User, target: &Target, follow: bool) -> Result<&mut Inode, Errno> {
        let inode = match target {
            Target::Path(path) => {
                let (path, _) = self.existing(user, path, follow)?;
                self.copied_up(&path)?
            }
            Target::Slot(slot) => self.changed(*slot)?,
        };
        Ok(self.union.upper_mut(inode))
    }

    fn chmod(&mut self, user: User, target: &Target, bits: u32) -> Result<Answer, Errno> {
        let at = self.target(user, target, true)?;
        let meta = &self.union.inode(at).meta;
        if !user.owns(meta) {
            return Err(Errno::PERM);
        }
        let lost = if user.is_in_group(meta.gid) { 0 } else { mode::SET_GID };
        self.changed_target(user, target, true)?.meta.mode = bits & mode::ALL & !lost;
        Ok(Answer::Done)
    }

    /// chown(2): the bits that give privileges go, for root too; so do capabilities. A directory keeps its bits.
    fn chown(&mut self, user: User, target: &Target, uid: u32, gid: u32) -> Result<Answer, Errno> {
        let at = self.target(user, target, false)?;
        let meta = &self.union.inode(at).meta;
        let may_uid = user.has_capabilities() || meta.uid == user.id() && uid == meta.uid;
        let may_gid = user.has_capabilities() || meta.uid == user.id() && (gid == meta.gid || gid == user.id());
        if !may_uid || !may_gid {
            return Err(Errno::PERM);
        }
        let inode = self.changed_target(user, target, false)?;
        if !inode.is_directory() {
            let meta = &mut inode.meta;
            meta.mode &= !mode::SET_UID;
            meta.mode &= !set_gid_to_drop(user, meta);
            meta.xattrs.remove(&Text::from(CAPABILITY));
        }
        inode.meta.uid = uid;
        inode.meta.gid = gid;
        Ok(Answer::Done)
    }

    fn set_time(&mut self, user: User, target: &Target, stamp: Stamp) -> Result<Answer, Errno> {
        let at = self.target(user, target, true)?;
        if !user.owns(&self.union.inode(at).meta) {
            return Err(Errno::PERM);
        }
        self.changed_target(user, target, true)?.meta.mtime = stamp;
        Ok(Answer::Done)
    }

    /// xattr(7), `xattr_permission` of `fs/xattr.c`.
    fn may_set_xattr(&self, user: User, at: At, name: &Text) -> Result<(), Errno> {
        let inode = self.union.inode(at);
        let name = name.as_bytes();
        if name.starts_with(b"security.capability") {
            return if user.has_capabilities() { Ok(()) } else { Err(Errno::PERM) };
        }
        if name.starts_with(b"trusted.") {
            return if user.has_capabilities() && self.promises.first_namespace { Ok(()) } else { Err(Errno::PERM) };
        }
        if !name.starts_with(b"user.") {
            return Err(Errno::OPNOTSUPP);
        }
        if !inode.is_file() && !inode.is_directory() {
            return Err(Errno::PERM);
        }
        if inode.is_directory() && inode.meta.mode & mode::STICKY != 0 && !user.owns(&inode.meta) {
            return Err(Errno::PERM);
        }
        self.may(user, &Seen::Other(at), WRITE)
    }

    fn set_xattr(
        &mut self,
        user: User,
        target: &Target,
        name: &Text,
        value: &[u8],
        before: Before,
    ) -> Result<Answer, Errno> {
        let at = self.target(user, target, true)?;
        self.may_set_xattr(user, at, name)?;
        let refusal = match (before, self.union.inode(at).meta.xattrs.contains_key(name)) {
            (Before::Absent, true) => Some(Errno::EXIST),
            (Before::Present, false) => Some(Errno::NODATA),
            _ => None,
        };
        if let Some(refusal) = refusal {
            if self.promises.refused_xattrs_copy_up {
                self.changed_target(user, target, true)?;
            }
            return Err(refusal);
        }
        self.changed_target(user, target, true)?.meta.xattrs.insert(name.clone(), value.to_vec());
        Ok(Answer::Done)
    }

    fn remove_xattr(&mut self, user: User, target: &Target, name: &Text) -> Result<Answer, Errno> {
        let at = self.target(user, target, true)?;
        self.may_set_xattr(user, at, name)?;
        if !self.union.inode(at).meta.xattrs.contains_key(name) {
            return Err(Errno::NODATA);
        }
        self.changed_target(user, target, true)?.meta.xattrs.remove(name);
        Ok(Answer::Done)
    }

    // --- names ---

    fn mkdir(&mut self, user: User, path: &Text, bits: u32) -> Result<Answer, Errno> {
        let path = self.vacant(user, path)?;
        // mkdir(2): the set-user-ID and set-group-ID bits that are asked for are not given.
        self.make(user, &path, bits & 0o1777, Body::Directory(Directory::default()))?;
        Ok(Answer::Done)
    }

    fn mknod(&mut self, user: User, path: &Text, node: Node, bits: u32) -> Result<Answer, Errno> {
        let path = self.vacant(user, path)?;
        let is_device = matches!(node, Node::Character { .. } | Node::Block { .. });
        if is_device && !(user.has_capabilities() && self.promises.first_namespace) {
            return Err(Errno::PERM);
        }
        self.make(user, &path, bits, Body::Node(node))?;
        Ok(Answer::Done)
    }

    fn symlink(&mut self, user: User, content: &Text, path: &Text) -> Result<Answer, Errno> {
        if content.0.is_empty() {
            return Err(Errno::NOENT);
        }
        let path = self.vacant(user, path)?;
        self.make(user, &path, 0o777, Body::Symlink(content.clone()))?;
        Ok(Answer::Done)
    }

    fn link(&mut self, user: User, from: &Text, to: &Text) -> Result<Answer, Errno> {
        let (from, seen) = self.existing(user, from, false)?;
        let place = self.walk(user, to, false)?;
        if place.seen.is_some() {
            return Err(Errno::EXIST);
        }
        self.may_link(user, &seen)?;
        let (_, parent) = self.parent(&place.path).ok_or(Errno::EXIST)?;
        self.may(user, &parent, WRITE | SEARCH)?;
        if matches!(seen, Seen::Directory(_)) {
            return Err(Errno::PERM);
        }
        let inode = self.copied_up(&from)?;
        self.give_name(&place.path, inode)?;
        Ok(Answer::Done)
    }

    /// `/proc/sys/fs/protected_hardlinks` (proc_sys_fs(5)): what is not one's own must be a plain file that one may read
    /// and write.
    fn may_link(&self, user: User, seen: &Seen) -> Result<(), Errno> {
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

    fn give_name(&mut self, path: &[Text], inode: usize) -> Result<(), Errno> {
        let (name, parent) = path.split_last().ok_or(Errno::EXIST)?;
        let parent = self.copied_up(parent)?;
        self.union.name(parent, name, inode);
        self.union.touch(parent);
        Ok(())
    }

    /// linkat(2) with `AT_EMPTY_PATH`: a file that lost its last name gets none again, one that never had one does.
    fn link_slot(&mut self, user: User, slot: Slot, to: &Text) -> Result<Answer, Errno> {
        let open = self.slot(slot)?.clone();
        let place = self.walk(user, to, false)?;
        if place.seen.is_some() {
            return Err(Errno::EXIST);
        }
        let (_, parent) = self.parent(&place.path).ok_or(Errno::EXIST)?;
        self.may(user, &parent, WRITE | SEARCH)?;
        let inode = self.union.inode(open.at);
        if inode.is_directory() {
            return Err(Errno::PERM);
        }
        let is_nameless = match self.union.is_upper(open.at) {
            true => inode.links == 0,
            false => self.union.at(&open.path).is_none_or(|seen| seen.top() != open.at),
        };
        if is_nameless && !open.is_linkable {
            return Err(Errno::NOENT);
        }
        let inode = self.changed(slot)?;
        self.give_name(&place.path, inode)?;
        if let Some(open) = self.open.get_mut(&slot) {
            open.is_linkable = false;
        }
        Ok(Answer::Done)
    }

    fn unlink(&mut self, user: User, path: &Text) -> Result<Answer, Errno> {
        let (path, seen) = self.existing(user, path, false)?;
        if path.is_empty() {
            return Err(Errno::ISDIR);
        }
        self.may_delete(user, &path, &seen, false)?;
        self.take_name(&path)?;
        Ok(Answer::Done)
    }

    fn rmdir(&mut self, user: User, path: &Text) -> Result<Answer, Errno> {
        let (path, seen) = self.existing(user, path, false)?;
        self.may_delete(user, &path, &seen, true)?;
        self.is_empty(&seen)?;
        self.take_name(&path)?;
        Ok(Answer::Done)
    }

    fn is_empty(&self, seen: &Seen) -> Result<(), Errno> {
        match seen {
            Seen::Directory(stack) if !self.union.names(stack).is_empty() => Err(Errno::NOTEMPTY),
            _ => Ok(()),
        }
    }

    fn take_name(&mut self, path: &[Text]) -> Result<(), Errno> {
        let (name, parent) = path.split_last().ok_or(Errno::BUSY)?;
        let parent = self.copied_up(parent)?;
        self.union.remove(parent, name);
        self.union.touch(parent);
        Ok(())
    }

    /// renameat2(2); the order is `do_renameat2`'s and `vfs_rename`'s, then overlayfs's own.
    fn rename(&mut self, user: User, from: &Text, to: &Text, replace: Replace) -> Result<Answer, Errno> {
        let (old, new) = (self.walk_to_last(user, from, false)?, self.walk_to_last(user, to, false)?);
        if old.path.is_empty() {
            return Err(Errno::BUSY);
        }
        if new.path.is_empty() {
            return Err(if replace == Replace::No { Errno::EXIST } else { Errno::BUSY });
        }
        let (old_path, source) = old.there()?;
        let Place { path: new_path, seen: target } = new.looked_up()?;
        match (replace, &target) {
            (Replace::No, Some(_)) => return Err(Errno::EXIST),
            (Replace::Exchange, None) => return Err(Errno::NOENT),
            _ => {}
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

    /// overlayfs looks itself only into a directory through which something shows; into another the upper layer's file system does,
    /// after everything has been prepared.
    fn may_replace(&mut self, target: &Seen, old: &[Text], new: &[Text]) -> Result<(), Errno> {
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
    fn may_rename(
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
    fn can_move(&self, seen: &Seen) -> Result<(), Errno> {
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
    fn rename_open(&mut self, old: &[Text], new: &[Text], replace: Replace) {
        for open in self.open.values_mut() {
            let moved = |from: &[Text], to: &[Text]| open.path.strip_prefix(from).map(|rest| [to, rest].concat());
            let back = (replace == Replace::Exchange).then(|| moved(new, old)).flatten();
            if let Some(path) = moved(old, new).or(back) {
                open.path = path;
            }
        }
    }

    fn read_link(&self, user: User, path: &Text) -> Result<Answer, Errno> {
        let (_, seen) = self.existing(user, path, false)?;
        self.link_content(&seen).map(|content| Answer::Bytes(content.0.clone())).ok_or(Errno::INVAL)
    }

    fn list(&self, user: User, path: &Text) -> Result<Answer, Errno> {
        let (_, seen) = self.existing(user, path, true)?;
        let Seen::Directory(stack) = &seen else { return Err(Errno::NOTDIR) };
        self.may(user, &seen, READ)?;
        Ok(Answer::Names(self.union.names(stack).into_iter().collect()))
    }
}

const CAPABILITY: &str = "security.capability";

/// `setattr_should_drop_sgid` of `fs/attr.c`.
fn set_gid_to_drop(user: User, meta: &Meta) -> u32 {
    match meta.mode & mode::GROUP_EXECUTE != 0 || !user.is_in_group(meta.gid) {
        true => mode::SET_GID,
        false => 0,
    }
}

/// What opening a node without a reader or a driver gives (open(2), `O_NONBLOCK`); it is closed at once.
fn node_opens(inode: &Inode, flags: Flags) -> Result<Answer, Errno> {
    match inode.body {
        Body::Node(Node::Fifo) if flags.access != Access::Write => Ok(Answer::Done),
        _ => Err(Errno::NXIO),
    }
}

/// The names of the directory that something is in.
fn parent_of(path: &[Text]) -> &[Text] {
    path.split_last().map_or(path, |(_, parent)| parent)
}

fn names_backwards(path: &Text) -> Vec<Text> {
    let names = path.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    names.rev().map(Text::from).collect()
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
    &content[start..(start + length as usize).min(content.len())]
}
