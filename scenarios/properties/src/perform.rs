//! Does an operation of a case for real: one system call, by the thread that asks.
//!
//! *Holds*: paths begin at the thread's root, which is the mounted tree; the other user is this thread alone.
//! *Proved by*: the laws with a plain directory as subject, where the kernel's own rules are the model's.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

use layerlab_model::errno::Errno;
use layerlab_model::inode::{Node, Time};
use layerlab_model::operation::{
    Access, Allocate, Answer, Before, Flags, Operation, Replace, Slot, Step, Target, User,
};
use layerlab_model::process::OTHER_ID;
use layerlab_model::text::Text;
use rustix::fs::{
    self, AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, UTIME_NOW, Uid,
    XattrFlags, makedev,
};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};

use crate::tree::Tree;
use crate::{mapping, race, readdir};

/// Whoever does the steps of a case; what is open stays open between them.
pub trait Hands: Send {
    /// Does `step`; what comes back is in the model's words.
    fn step(&mut self, step: &Step) -> Result<Answer, Errno>;

    /// Closes everything.
    fn close_all(&mut self);

    /// The merged tree as they see it, of which `tree` was read.
    fn look(&self, tree: Tree) -> Tree {
        tree
    }
}

/// Does them as they are.
#[derive(Default)]
pub struct Performer {
    open: HashMap<Slot, OwnedFd>,
}

type Done = Result<Answer, rustix::io::Errno>;

impl Hands for Performer {
    fn step(&mut self, step: &Step) -> Result<Answer, Errno> {
        let result = match step.user {
            User::Root => self.perform(&step.operation),
            User::Other => as_other(|| self.perform(&step.operation)),
        };
        result.map_err(|errno| Errno(errno.raw_os_error()))
    }

    fn close_all(&mut self) {
        self.open.clear();
    }
}

impl Performer {
    fn slot(&self, slot: Slot) -> Result<&OwnedFd, rustix::io::Errno> {
        self.open.get(&slot).ok_or(rustix::io::Errno::BADF)
    }

    /// Takes a file that somebody else opened as what is open in `slot`.
    pub fn hold(&mut self, slot: Slot, file: OwnedFd) {
        self.open.insert(slot, file);
    }

    /// What is open in `slot`.
    pub fn held(&self, slot: Slot) -> Option<&OwnedFd> {
        self.open.get(&slot)
    }

    fn perform(&mut self, operation: &Operation) -> Done {
        match operation {
            Operation::Open { slot, path, flags, mode } => self.open(*slot, path, *flags, *mode),
            Operation::OpenUnnamed { slot, path, mode } => {
                self.open.remove(slot);
                let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
                self.open.insert(*slot, fs::open(&path.0[..], flags, Mode::from_raw_mode(*mode))?);
                Ok(Answer::Done)
            }
            Operation::Close { slot } => self.open.remove(slot).map(|_| Answer::Done).ok_or(rustix::io::Errno::BADF),
            Operation::Write { slot, offset, fill } => {
                let count = rustix::io::pwrite(self.slot(*slot)?, &fill.bytes(), u64::from(*offset))?;
                Ok(Answer::Count(count as u64))
            }
            Operation::Read { slot, offset, length } => {
                let mut bytes = vec![0; *length as usize];
                let count = rustix::io::pread(self.slot(*slot)?, &mut bytes[..], u64::from(*offset))?;
                bytes.truncate(count);
                Ok(Answer::Bytes(bytes))
            }
            Operation::MapWrite { slot, offset, fill } => {
                mapping::write(self.slot(*slot)?.as_fd(), u64::from(*offset), &fill.bytes())?;
                Ok(Answer::Done)
            }
            Operation::CopyRange { from, from_offset, to, to_offset, length } => {
                let (mut from_offset, mut to_offset) = (u64::from(*from_offset), u64::from(*to_offset));
                let (from, to) = (self.slot(*from)?, self.slot(*to)?);
                let count =
                    fs::copy_file_range(from, Some(&mut from_offset), to, Some(&mut to_offset), *length as usize)?;
                Ok(Answer::Count(count as u64))
            }
            Operation::Allocate { slot, how, offset, length } => {
                let how = match how {
                    Allocate::Extend => FallocateFlags::empty(),
                    Allocate::KeepSize => FallocateFlags::KEEP_SIZE,
                    Allocate::Punch => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
                };
                fs::fallocate(self.slot(*slot)?, how, u64::from(*offset), u64::from(*length)).map(done)
            }
            Operation::Truncate { target: Target::Path(path), length } => {
                nix::unistd::truncate(&path.0[..], i64::from(*length)).map_err(raw).map(done)
            }
            Operation::Truncate { target: Target::Slot(slot), length } => {
                fs::ftruncate(self.slot(*slot)?, u64::from(*length)).map(done)
            }
            Operation::Chmod { target, mode } => {
                let mode = Mode::from_raw_mode(*mode);
                match target {
                    Target::Path(path) => fs::chmod(&path.0[..], mode).map(done),
                    Target::Slot(slot) => fs::fchmod(self.slot(*slot)?, mode).map(done),
                }
            }
            Operation::Chown { target, uid, gid } => {
                let (uid, gid) = (Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)));
                match target {
                    Target::Path(path) => fs::chownat(CWD, &path.0[..], uid, gid, AtFlags::SYMLINK_NOFOLLOW).map(done),
                    Target::Slot(slot) => fs::fchown(self.slot(*slot)?, uid, gid).map(done),
                }
            }
            Operation::SetTime { target, time } => {
                let times = timestamps(*time);
                match target {
                    Target::Path(path) => fs::utimensat(CWD, &path.0[..], &times, AtFlags::empty()).map(done),
                    Target::Slot(slot) => fs::futimens(self.slot(*slot)?, &times).map(done),
                }
            }
            Operation::SetLinkTime { path, time } => {
                fs::utimensat(CWD, &path.0[..], &timestamps(*time), AtFlags::SYMLINK_NOFOLLOW).map(done)
            }
            Operation::Touch { target } => match target {
                Target::Path(path) => fs::utimensat(CWD, &path.0[..], &NOW, AtFlags::empty()).map(done),
                Target::Slot(slot) => fs::futimens(self.slot(*slot)?, &NOW).map(done),
            },
            Operation::SetXattr { target, name, value, before } => {
                self.set_xattr(target, name.as_bytes(), value.as_bytes(), xattr_flags(*before))
            }
            Operation::SetLinkXattr { path, name, value, before } => {
                fs::lsetxattr(&path.0[..], &name.0[..], value.as_bytes(), xattr_flags(*before)).map(done)
            }
            Operation::SetAcl { target, list, acl } => {
                self.set_xattr(target, list.xattr().as_bytes(), &acl.bytes(), XattrFlags::empty())
            }
            Operation::RemoveXattr { target, name } => match target {
                Target::Path(path) => fs::removexattr(&path.0[..], &name.0[..]).map(done),
                Target::Slot(slot) => fs::fremovexattr(self.slot(*slot)?, &name.0[..]).map(done),
            },
            Operation::Mkdir { path, mode } => fs::mkdir(&path.0[..], Mode::from_raw_mode(*mode)).map(done),
            Operation::Mknod { path, node, mode } => {
                let (kind, device) = match node {
                    Node::Fifo => (FileType::Fifo, 0),
                    Node::Socket => (FileType::Socket, 0),
                    Node::Character { major, minor } => (FileType::CharacterDevice, makedev(*major, *minor)),
                    Node::Block { major, minor } => (FileType::BlockDevice, makedev(*major, *minor)),
                };
                fs::mknodat(CWD, &path.0[..], kind, Mode::from_raw_mode(*mode), device).map(done)
            }
            Operation::MknodFile { path, mode } => {
                fs::mknodat(CWD, &path.0[..], FileType::RegularFile, Mode::from_raw_mode(*mode), 0).map(done)
            }
            Operation::Symlink { content, path } => fs::symlink(&content.0[..], &path.0[..]).map(done),
            Operation::Link { from, to } => fs::link(&from.0[..], &to.0[..]).map(done),
            Operation::LinkSlot { slot, to } => {
                fs::linkat(self.slot(*slot)?, "", CWD, &to.0[..], AtFlags::EMPTY_PATH).map(done)
            }
            Operation::Rename { from, to, replace } => {
                let flags = match replace {
                    Replace::Yes => RenameFlags::empty(),
                    Replace::No => RenameFlags::NOREPLACE,
                    Replace::Exchange => RenameFlags::EXCHANGE,
                };
                fs::renameat_with(CWD, &from.0[..], CWD, &to.0[..], flags).map(done)
            }
            Operation::Unlink { path } => fs::unlink(&path.0[..]).map(done),
            Operation::Rmdir { path } => fs::rmdir(&path.0[..]).map(done),
            Operation::ReadLink { path } => {
                fs::readlink(&path.0[..], Vec::new()).map(|content| Answer::Bytes(content.into_bytes()))
            }
            Operation::List { path } => readdir::list(&mut readdir::Opened::open(path)?),
            Operation::Race { path, letters, mode } => race::run(path, letters, *mode, &race::write),
            Operation::Remount | Operation::Commit => Ok(Answer::Done),
        }
    }

    fn set_xattr(&self, target: &Target, name: &[u8], value: &[u8], flags: XattrFlags) -> Done {
        match target {
            Target::Path(path) => fs::setxattr(&path.0[..], name, value, flags).map(done),
            Target::Slot(slot) => fs::fsetxattr(self.slot(*slot)?, name, value, flags).map(done),
        }
    }

    /// Nodes are closed at once: reading one could wait for ever.
    fn open(&mut self, slot: Slot, path: &Text, flags: Flags, mode: u32) -> Done {
        self.open.remove(&slot);
        let access = match flags.access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::WRONLY,
            Access::ReadWrite => OFlags::RDWR,
            Access::Neither => OFlags::WRONLY | OFlags::RDWR,
        };
        let wanted = [
            (flags.create, OFlags::CREATE),
            (flags.exclusive, OFlags::EXCL),
            (flags.truncate, OFlags::TRUNC),
            (flags.append, OFlags::APPEND),
            (flags.directory, OFlags::DIRECTORY),
            (flags.no_follow, OFlags::NOFOLLOW),
            (flags.no_access_time, OFlags::NOATIME),
            (flags.sync, OFlags::SYNC),
            (flags.data_sync, OFlags::DSYNC),
            (flags.direct, OFlags::DIRECT),
            (flags.path_only, OFlags::PATH),
        ];
        let always = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let given = wanted.iter().filter(|(is, _)| *is).fold(access | always, |all, (_, flag)| all | *flag);
        let file = fs::open(&path.0[..], given, Mode::from_raw_mode(mode))?;
        if given.contains(OFlags::DIRECT) && !given.contains(OFlags::PATH) {
            fs::fcntl_setfl(&file, given.difference(OFlags::DIRECT))?;
        }
        let kind = FileType::from_raw_mode(fs::fstat(&file)?.st_mode);
        if matches!(kind, FileType::RegularFile | FileType::Directory) {
            self.open.insert(slot, file);
        }
        Ok(Answer::Done)
    }
}

fn done(_: ()) -> Answer {
    Answer::Done
}

fn raw(errno: nix::errno::Errno) -> rustix::io::Errno {
    rustix::io::Errno::from_raw_os_error(errno as i32)
}

fn xattr_flags(before: Before) -> XattrFlags {
    match before {
        Before::Any => XattrFlags::empty(),
        Before::Absent => XattrFlags::CREATE,
        Before::Present => XattrFlags::REPLACE,
    }
}

/// What utimensat(2) takes for the present time.
const NOW: Timestamps = {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    Timestamps { last_access: now, last_modification: now }
};

fn timestamps(time: Time) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    Timestamps { last_access: time, last_modification: time }
}

/// Runs `body` as user and group [`OTHER_ID`] without capabilities; only this thread is (setresuid(2), NOTES).
fn as_other(body: impl FnOnce() -> Done) -> Done {
    set_thread_res_gid(None::<Gid>, Gid::from_raw(OTHER_ID), None::<Gid>)?;
    set_thread_res_uid(None::<Uid>, Uid::from_raw(OTHER_ID), None::<Uid>)?;
    let result = body();
    set_thread_res_uid(None::<Uid>, Uid::ROOT, None::<Uid>)?;
    set_thread_res_gid(None::<Gid>, Gid::ROOT, None::<Gid>)?;
    result
}
