//! What every operation does to the tree, and why it is refused: Linux's rules for one process on one union mount.
//!
//! *Source*: the system calls' manual pages and POSIX for what happens; the order of the refusals is the kernel's
//! (`fs/namei.c`, `fs/open.c`, `fs/attr.c`, `fs/xattr.c`), since several reasons can hold at once. What overlayfs adds is
//! marked "overlayfs". *Holds*: a refused operation changes nothing. *Proved by*: the laws, with a plain directory as
//! subject (Linux's own rules) and with every union mount.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::errno::Errno;
use crate::inode::{At, Body, Meta, Node, Stamp, mode};
use crate::operation::{Access, Answer, Operation, Slot, Step, Target, User};
use crate::promises::Promises;
use crate::text::Text;
use crate::union::{Indexed, Moved, Union};

mod acl;
mod attributes;
mod contents;
mod names;
mod open;
mod race;
mod rename;
mod unpromised;
mod walk;

use acl::inherited;
use walk::Last;

/// What overlayfs takes for a whiteout.
const WHITEOUT: Node = Node::Character { major: 0, minor: 0 };

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
    /// Whether it is only a name that is held (`O_PATH`).
    is_path_only: bool,
}

/// A mounted union and the processes that use it.
#[derive(Debug, Clone)]
pub struct Machine {
    union: Union,
    promises: Promises,
    open: HashMap<Slot, Open>,
    /// What was copied up since the mount.
    copies: HashSet<usize>,
    /// What the last step copied up.
    copied: Vec<Moved>,
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
        let root = Meta { mode: promises.root_mode, uid: 0, gid: 0, mtime: Stamp::Clock(0), xattrs: BTreeMap::new() };
        let indexed = match (promises.removed_is_copied_up, promises.hard_links_survive_copy_up) {
            (true, _) => Indexed::Everything,
            (false, true) => Indexed::Linked,
            (false, false) => Indexed::Nothing,
        };
        let union = Union::with(root, indexed, promises.content_stays_below);
        Machine { union, promises, open: HashMap::new(), copies: HashSet::new(), copied: Vec::new() }
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

    /// Does one thing.
    pub fn step(&mut self, step: &Step) -> Result<Answer, Errno> {
        self.copied.clear();
        let result = self.perform(step.user, &step.operation);
        self.follow_copies();
        result
    }

    /// What the last step copied up: from where, to where, by which name.
    pub fn copied(&self) -> &[Moved] {
        &self.copied
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
            Operation::SetTime { target, time } => self.set_time(user, target, Last::FOLLOWED, *time),
            Operation::SetLinkTime { path, time } => {
                self.set_time(user, &Target::Path(path.clone()), Last::ITSELF, *time)
            }
            Operation::Touch { target } => self.touch(user, target),
            Operation::SetXattr { target, name, value, before } => {
                self.set_xattr(user, target, Last::FOLLOWED, (name, value.as_bytes()), *before)
            }
            Operation::SetLinkXattr { path, name, value, before } => {
                self.set_xattr(user, &Target::Path(path.clone()), Last::ITSELF, (name, value.as_bytes()), *before)
            }
            Operation::SetAcl { target, list, acl } => self.set_acl(user, target, *list, acl),
            Operation::RemoveXattr { target, name } => self.remove_xattr(user, target, name),
            Operation::Mkdir { path, mode } => self.mkdir(user, path, *mode),
            Operation::Mknod { path, node, mode } => self.mknod(user, path, *node, *mode),
            Operation::MknodFile { path, mode } => self.mknod_file(user, path, *mode),
            Operation::Symlink { content, path } => self.symlink(user, content, path),
            Operation::Link { from, to } => self.link(user, from, to),
            Operation::LinkSlot { slot, to } => self.link_slot(user, *slot, to),
            Operation::Rename { from, to, replace } => self.rename(user, from, to, *replace),
            Operation::Unlink { path } => self.unlink(user, path),
            Operation::Rmdir { path } => self.rmdir(user, path),
            Operation::ReadLink { path } => self.read_link(user, path),
            Operation::List { path } => self.list(user, path),
            Operation::Race { path, letters, mode } => self.race(user, path, letters.as_bytes(), *mode),
            Operation::Remount => {
                self.unmount();
                Ok(Answer::Done)
            }
            Operation::Commit => {
                self.unmount();
                if self.promises.layers && self.union.depth() < self.promises.layers_max {
                    self.union.freeze(&self.promises);
                }
                Ok(Answer::Done)
            }
        }
    }

    fn unmount(&mut self) {
        self.open.clear();
        self.copies.clear();
        if !self.promises.numbers_of_names_survive_a_remount {
            self.union.count_names_on_disk();
        }
    }

    /// The upper inode of what is at `path`, which is there.
    fn copied_up(&mut self, path: &[Text]) -> Result<usize, Errno> {
        self.union.copy_up(path).ok_or(Errno::NOENT)
    }

    /// The same, and its content with it.
    fn copied_up_whole(&mut self, path: &[Text]) -> Result<usize, Errno> {
        self.union.copy_up_whole(path).ok_or(Errno::NOENT)
    }

    /// Open files go on with the copy. A file that has several names in a lower layer is, by each of them, a file of its
    /// own, unless the index keeps it whole (overlayfs, "Non-standard behavior").
    fn follow_copies(&mut self) {
        for moved in self.union.take_moved() {
            self.copies.insert(moved.to.inode);
            let is_one = self.union.inode(moved.from).links <= 1 || self.union.is_kept_whole(moved.from);
            for open in self.open.values_mut() {
                if open.at == moved.from && (is_one || open.path == moved.path) {
                    open.at = moved.to;
                }
            }
            self.copied.push(moved);
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
        let (bits, xattrs) = match body {
            Body::Symlink(_) => (bits, BTreeMap::new()),
            _ => inherited(directory, bits, matches!(body, Body::Directory(_))),
        };
        let meta = Meta { mode: bits, uid: user.id(), gid, mtime: self.union.now(), xattrs };
        let inode = self.union.add(meta, body);
        self.union.name(parent, name, inode);
        self.union.touch(parent);
        Ok(inode)
    }
}
