//! A file system in user space that hands every request on to a tree below, through a bug.
//!
//! *Why*: a suite that is not ours needs a directory, not a trait. *Holds*: without a bug what comes back is what the tree below gives:
//! the same answers, errors, attributes and times; nothing is kept by the kernel (no entry, no attribute, no content).
//! *Never*: a path where a descriptor does: only a bug sees paths. *Proved by*: `scenarios/bugs/tests/through_fuse.rs`, which holds the laws
//! against an overlay behind it.
//!
//! What FUSE itself changes: files without a name (`O_TMPFILE`) and ioctls are refused; two names of one file are two files to locks, to mappings
//! that are not written back yet, and to who may rename the one to the other; `O_DIRECT` asks for no alignment; a process has the rights of
//! its user, not of its capabilities.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileAttr, FileHandle, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use layerlab_model::errno::Errno;
use layerlab_model::inode::Node as Special;
use layerlab_model::operation::{Allocate, Answer, Fill, Operation, Replace, Target};
use layerlab_model::text::Text;
use layerlab_properties::perform::Hands;
use rustix::fs::{self, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, SeekFrom, XattrFlags};

use super::below::{
    Handle, Raw, State, XATTR_BYTES_MAX, act, answer, facts, flags_of, may, name, open, raw, set_xattr, xattr,
};
use super::bench::Bench;
use super::caller::Caller;
use crate::bug::ThroughFuse;

/// Nothing is kept.
const AT_ONCE: Duration = Duration::ZERO;
/// A file is asked what a bug shows of it when it is read only up to this size.
const SHOWN_BYTES_MAX: u64 = 1 << 20;
/// The kernel opens a file to run it (`__FMODE_EXEC` of `include/linux/fs.h`).
const TO_RUN: i32 = 0x20;

/// The file system.
pub struct Passing {
    state: Mutex<State>,
    through: ThroughFuse,
}

impl Passing {
    /// Hands on to the tree `root`. The thread that serves has it as its root, and `/proc/self/fd` as its working directory; `processes` is
    /// `/proc`. Behind the bug of `hands` are those of `bench`.
    pub fn new(
        root: OwnedFd,
        processes: OwnedFd,
        hands: Box<dyn Hands>,
        bench: Bench,
        through: ThroughFuse,
    ) -> Passing {
        Passing { state: Mutex::new(State::new(root, processes, hands, bench)), through }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn said(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.0)
}

impl Filesystem for Passing {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = [
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_DONT_MASK,
            InitFlags::FUSE_HANDLE_KILLPRIV,
            InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP,
        ];
        if self.through == ThroughFuse::Gated {
            // It asks about access control lists, too; this alone makes it ask (`process_init_reply` of `fs/fuse/inode.c`).
            let _ = config.add_capabilities(InitFlags::FUSE_POSIX_ACL);
        }
        // An older kernel does without the last one: then files are not mapped to be shared.
        for flag in wanted {
            let _ = config.add_capabilities(flag);
        }
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let found = state.node(parent).and_then(|parent| state.entry(&caller, &parent, name));
        entered(found, reply);
    }

    fn forget(&self, _: &Request, number: INodeNo, times: u64) {
        self.state().nodes.forget(number.0, times);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let state = self.state();
        attributed(state.node(number).and_then(|node| state.attributes(&node)), reply);
    }

    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let mut set = || {
            let node = state.node(number)?;
            if let Some(mode) = mode {
                state.set_mode(&caller, &node, mode & 0o7777)?;
            }
            if uid.is_some() || gid.is_some() {
                state.set_owner(&caller, &node, uid, gid)?;
            }
            if let Some(size) = size {
                state.set_size(&caller, &node, size, handle)?;
            }
            if atime.is_some() || mtime.is_some() {
                state.set_times(&caller, &node, atime, mtime)?;
            }
            state.attributes(&node)
        };
        attributed(set(), reply);
    }

    fn readlink(&self, request: &Request, number: INodeNo, reply: ReplyData) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let mut read = || {
            let node = state.node(number)?;
            let file = Arc::clone(&node.file);
            let operation = node.path.clone().map(|path| Operation::ReadLink { path });
            let read = answer(move || Ok(Answer::Bytes(fs::readlinkat(&file, "", Vec::new())?.into_bytes())));
            state.ask(&caller, operation, read)
        };
        given(read(), reply);
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        device: u32,
        reply: ReplyEntry,
    ) {
        let kind = FileType::from_raw_mode(mode);
        let bits = mode & 0o7777;
        let (major, minor) = (fs::major(u64::from(device)), fs::minor(u64::from(device)));
        let operation = move |path| {
            Some(match kind {
                FileType::Fifo => Operation::Mknod { path, node: Special::Fifo, mode: bits },
                FileType::Socket => Operation::Mknod { path, node: Special::Socket, mode: bits },
                FileType::CharacterDevice => {
                    Operation::Mknod { path, node: Special::Character { major, minor }, mode: bits }
                }
                FileType::BlockDevice => Operation::Mknod { path, node: Special::Block { major, minor }, mode: bits },
                FileType::RegularFile => Operation::MknodFile { path, mode: bits },
                _ => return None,
            })
        };
        let make = move |directory: &OwnedFd, name: &OsStr| {
            fs::mknodat(directory, name, kind, Mode::from_raw_mode(bits), u64::from(device))
        };
        self.made(request, (parent, name), umask, operation, make, reply);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let bits = mode & 0o7777;
        let make = move |directory: &OwnedFd, name: &OsStr| fs::mkdirat(directory, name, Mode::from_raw_mode(bits));
        self.made(request, (parent, name), umask, |path| Some(Operation::Mkdir { path, mode: bits }), make, reply);
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, content: &Path, reply: ReplyEntry) {
        let (text, content) = (Text::from(content.as_os_str().as_bytes()), content.to_owned());
        let make = move |directory: &OwnedFd, name: &OsStr| fs::symlinkat(&content, directory, name);
        self.made(request, (parent, name), 0, |path| Some(Operation::Symlink { content: text, path }), make, reply);
    }

    fn link(&self, request: &Request, number: INodeNo, parent: INodeNo, new: &OsStr, reply: ReplyEntry) {
        let node = match self.state().node(number) {
            Ok(node) => node,
            Err(errno) => return reply.error(said(errno)),
        };
        let (file, from) = (Arc::clone(&node.file), node.path.clone());
        let make = move |directory: &OwnedFd, new: &OsStr| {
            fs::linkat(CWD, name(&file), directory, new, AtFlags::SYMLINK_FOLLOW)
        };
        self.made(request, (parent, new), 0, |to| from.map(|from| Operation::Link { from, to }), make, reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.removed(request, parent, name, |path| Operation::Unlink { path }, AtFlags::empty(), reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.removed(request, parent, name, |path| Operation::Rmdir { path }, AtFlags::REMOVEDIR, reply);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: fuser::RenameFlags,
        reply: ReplyEmpty,
    ) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let flags = RenameFlags::from_bits_retain(flags.bits());
        let mut rename = || {
            let (one, other) = (state.node(parent)?, state.node(new_parent)?);
            let paths = one.join(name.as_bytes()).zip(other.join(new_name.as_bytes()));
            let replace = match flags {
                _ if flags == RenameFlags::NOREPLACE => Some(Replace::No),
                _ if flags == RenameFlags::EXCHANGE => Some(Replace::Exchange),
                _ if flags.is_empty() => Some(Replace::Yes),
                _ => None,
            };
            let operation = paths.clone().zip(replace);
            let operation = operation.map(|((from, to), replace)| Operation::Rename { from, to, replace });
            let (from, to) = (Arc::clone(&one.file), Arc::clone(&other.file));
            let (name, new_name) = (name.to_owned(), new_name.to_owned());
            let is_gone = {
                let (from, name) = (Arc::clone(&from), name.clone());
                move || fs::statat(&from, &name, AtFlags::SYMLINK_NOFOLLOW).is_err()
            };
            state.ask(&caller, operation, act(move || fs::renameat_with(&from, &name, &to, &new_name, flags)))?;
            match paths {
                Some((from, to)) if flags == RenameFlags::EXCHANGE => state.nodes.exchanged(&from, &to),
                // Of two names of one file both stay.
                Some((from, to)) if is_gone() => state.nodes.moved(&from, &to),
                _ => {}
            }
            Ok(())
        };
        done(rename(), reply);
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let left_out = OFlags::CREATE | OFlags::EXCL | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let given = OFlags::from_bits_retain((flags.0 & !TO_RUN) as u32) - left_out;
        let mut opened = || {
            let node = state.node(number)?;
            if flags.0 & TO_RUN != 0 {
                may(&caller, &node, fs::Access::EXEC_OK)?;
            }
            let (file, path) = (name(&node.file), node.path);
            let operation = |slot| path.map(|path| Operation::Open { slot, path, flags: flags_of(given), mode: 0 });
            state.open(&caller, operation, move || open(|flags| fs::open(&file, flags, Mode::empty()), given))
        };
        match opened() {
            Ok(handle) => reply.opened(handle, FopenFlags::FOPEN_DIRECT_IO),
            Err(errno) => reply.error(said(errno)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        let state = &mut *self.state();
        let caller = Caller::of(request, umask, &state.processes);
        let bits = mode & 0o7777;
        let given = OFlags::from_bits_retain(flags as u32) | OFlags::CREATE;
        let mut created = || {
            let parent = state.node(parent)?;
            let (directory, new, path) = (Arc::clone(&parent.file), name.to_owned(), parent.join(name.as_bytes()));
            let operation = |slot| path.map(|path| Operation::Open { slot, path, flags: flags_of(given), mode: bits });
            let create = move |flags| fs::openat(&directory, &new, flags, Mode::from_raw_mode(bits));
            let handle = state.open(&caller, operation, move || open(&create, given))?;
            let entry = state.entry(&Caller::ROOT, &parent, name);
            if entry.is_err() {
                state.close(&caller, handle)?;
            }
            Ok((entry?, handle))
        };
        match created() {
            Ok((entry, handle)) => {
                reply.created(&AT_ONCE, &entry, Generation(0), handle, FopenFlags::FOPEN_DIRECT_IO);
            }
            Err(errno) => reply.error(said(errno)),
        }
    }

    fn read(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let mut read = || {
            let node = state.node(number)?;
            let Handle { file, slot, .. } = state.handle(handle)?;
            let file = Arc::clone(file);
            let operation = slot.zip(u32::try_from(offset).ok());
            let operation = operation.map(|(slot, offset)| Operation::Read { slot, offset, length: size });
            let read = answer(move || {
                let mut bytes = vec![0; size as usize];
                let count = rustix::io::pread(&file, &mut bytes[..], offset)?;
                bytes.truncate(count);
                Ok(Answer::Bytes(bytes))
            });
            let read = state.ask(&caller, operation, read)?;
            let stat = node.stat().map_err(raw)?;
            let Some(path) = node.path.as_ref().filter(|_| (stat.st_size as u64) < SHOWN_BYTES_MAX) else {
                return Ok(read);
            };
            let facts = facts(&node.file, &stat, true);
            let shown = state.shown(path, facts.clone())?.content;
            match shown == facts.content {
                true => Ok(read),
                false => Ok(Answer::Bytes(shown.into_iter().skip(offset as usize).take(size as usize).collect())),
            }
        };
        given(read(), reply);
    }

    fn write(
        &self,
        request: &Request,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let state = &mut *self.state();
        let is_from_memory = flags.contains(WriteFlags::FUSE_WRITE_CACHE);
        let caller = if is_from_memory { Caller::ROOT } else { state.caller(request) };
        let mut write = || {
            let Handle { file, slot, .. } = state.handle(handle)?;
            let (mut file, bytes) = (Arc::clone(file), data.to_vec());
            if is_from_memory {
                // What a mapping holds has its place, however the file is open that the kernel names.
                let flags = OFlags::WRONLY | OFlags::CLOEXEC;
                file = Arc::new(fs::open(name(&state.node(number)?.file), flags, Mode::empty()).map_err(raw)?);
            }
            let told = slot.zip(u32::try_from(offset).ok()).zip(data.first());
            let operation = told.map(|((slot, offset), letter)| {
                let fill = Fill { letter: char::from(*letter), length: data.len() as u32 };
                Operation::Write { slot, offset, fill }
            });
            let write =
                answer(move || rustix::io::pwrite(&file, &bytes, offset).map(|count| Answer::Count(count as u64)));
            state.ask(&caller, operation, write)
        };
        written(write(), reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        done(state.close(&caller, handle), reply);
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, only_data: bool, reply: ReplyEmpty) {
        done(self.state().synced(handle, only_data), reply);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, handle: FileHandle, only_data: bool, reply: ReplyEmpty) {
        done(self.state().synced(handle, only_data), reply);
    }

    fn opendir(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let given = OFlags::from_bits_retain(flags.0 as u32) | OFlags::DIRECTORY;
        let mut opened = || {
            let node = state.node(number)?;
            let (file, path) = (name(&node.file), node.path);
            let operation = |slot| path.map(|path| Operation::Open { slot, path, flags: flags_of(given), mode: 0 });
            let left_out = OFlags::CREATE | OFlags::EXCL | OFlags::NOCTTY | OFlags::NOFOLLOW;
            let given = given - left_out;
            state.open(&caller, operation, move || open(|flags| fs::open(&file, flags, Mode::empty()), given))
        };
        match opened() {
            Ok(handle) => reply.opened(handle, FopenFlags::empty()),
            Err(errno) => reply.error(said(errno)),
        }
    }

    fn readdir(&self, request: &Request, number: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        if offset == 0 {
            let listed = state.node(number).and_then(|node| state.list(&caller, &node, handle));
            match (listed, state.handles.get_mut(&handle.0)) {
                (Ok(list), Some(handle)) => handle.list = list,
                (Err(errno), _) => return reply.error(said(errno)),
                (_, None) => return reply.error(said(Errno::BADF)),
            }
        }
        let Ok(Handle { list, .. }) = state.handle(handle) else { return reply.error(said(Errno::BADF)) };
        for (number, entry) in list.iter().enumerate().skip(offset as usize) {
            let kind = match entry.kind {
                FileType::Directory => fuser::FileType::Directory,
                FileType::Symlink => fuser::FileType::Symlink,
                FileType::Fifo => fuser::FileType::NamedPipe,
                FileType::Socket => fuser::FileType::Socket,
                FileType::CharacterDevice => fuser::FileType::CharDevice,
                FileType::BlockDevice => fuser::FileType::BlockDevice,
                FileType::RegularFile | FileType::Unknown => fuser::FileType::RegularFile,
            };
            if reply.add(INodeNo(entry.inode), number as u64 + 1, kind, OsStr::from_bytes(&entry.name)) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(&self, request: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        done(state.close(&caller, handle), reply);
    }

    fn statfs(&self, _: &Request, number: INodeNo, reply: ReplyStatfs) {
        let node = self.state().node(number);
        match node.and_then(|node| fs::fstatfs(&node.file).map_err(raw)) {
            Ok(stat) => reply.statfs(
                stat.f_blocks,
                stat.f_bfree,
                stat.f_bavail,
                stat.f_files,
                stat.f_ffree,
                stat.f_bsize as u32,
                stat.f_namelen as u32,
                stat.f_frsize as u32,
            ),
            Err(errno) => reply.error(said(errno)),
        }
    }

    fn setxattr(
        &self,
        request: &Request,
        number: INodeNo,
        attribute: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let flags = XattrFlags::from_bits_retain(flags as u32);
        let mut set = || {
            let node = state.node(number)?;
            let operation = node.path.clone().and_then(|path| set_xattr(&node, path, attribute, value, flags));
            let (file, attribute, value) = (Arc::clone(&node.file), attribute.to_owned(), value.to_vec());
            state.ask(&caller, operation, act(move || fs::setxattr(name(&file), &attribute, &value, flags)))
        };
        done(set().map(drop), reply);
    }

    fn getxattr(&self, request: &Request, number: INodeNo, attribute: &OsStr, size: u32, reply: ReplyXattr) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let get = || {
            let node = state.node(number)?;
            let real = caller.act(|| xattr(&name(&node.file), attribute.as_bytes())).map_err(raw)?;
            let Some(path) = &node.path else { return real.map_err(raw) };
            let facts = facts(&node.file, &node.stat().map_err(raw)?, false);
            let attribute = Text::from(attribute.as_bytes());
            let shown = state.shown(path, facts.clone())?;
            match (facts.xattrs.get(&attribute), shown.xattrs.get(&attribute)) {
                (before, after) if before == after => real.map_err(raw),
                (_, after) => after.cloned().ok_or(Errno::NODATA),
            }
        };
        in_room(get(), size, reply);
    }

    fn listxattr(&self, request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let list = || {
            let node = state.node(number)?;
            let mut names = vec![0; XATTR_BYTES_MAX];
            let list = || fs::listxattr(name(&node.file), &mut names[..]);
            let length = caller.act(list).map_err(raw)?.map_err(raw)?;
            names.truncate(length);
            let Some(path) = &node.path else { return Ok(names) };
            let facts = facts(&node.file, &node.stat().map_err(raw)?, false);
            let shown = state.shown(path, facts.clone())?;
            let is_hidden = |name: &Text| facts.xattrs.contains_key(name) && !shown.xattrs.contains_key(name);
            let mut kept = Vec::new();
            for name in names.split_inclusive(|byte| *byte == 0) {
                if !is_hidden(&Text::from(name.strip_suffix(b"\0").unwrap_or(name))) {
                    kept.extend_from_slice(name);
                }
            }
            for name in shown.xattrs.keys().filter(|name| !facts.xattrs.contains_key(name)) {
                kept.extend_from_slice(name.as_bytes());
                kept.push(0);
            }
            Ok(kept)
        };
        in_room(list(), size, reply);
    }

    fn removexattr(&self, request: &Request, number: INodeNo, attribute: &OsStr, reply: ReplyEmpty) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let mut remove = || {
            let node = state.node(number)?;
            let operation = node.path.clone().filter(|_| node.kind != FileType::Symlink).map(|path| {
                Operation::RemoveXattr { target: Target::Path(path), name: Text::from(attribute.as_bytes()) }
            });
            let (file, attribute) = (Arc::clone(&node.file), attribute.to_owned());
            state.ask(&caller, operation, act(move || fs::removexattr(name(&file), &attribute)))
        };
        done(remove().map(drop), reply);
    }

    fn access(&self, request: &Request, number: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let state = self.state();
        let access = fs::Access::from_bits_retain(mask.bits() as u32);
        done(state.node(number).and_then(|node| may(&state.caller(request), &node, access)), reply);
    }

    fn fallocate(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let flags = FallocateFlags::from_bits_retain(mode as u32);
        let how = match flags {
            _ if flags.is_empty() => Some(Allocate::Extend),
            _ if flags == FallocateFlags::KEEP_SIZE => Some(Allocate::KeepSize),
            _ if flags == FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE => Some(Allocate::Punch),
            _ => None,
        };
        let mut allocate = || {
            let Handle { file, slot, .. } = state.handle(handle)?;
            let file = Arc::clone(file);
            let told = slot.zip(how).zip(u32::try_from(offset).ok().zip(u32::try_from(length).ok()));
            let operation =
                told.map(|((slot, how), (offset, length))| Operation::Allocate { slot, how, offset, length });
            state.ask(&caller, operation, act(move || fs::fallocate(&file, flags, offset, length)))
        };
        done(allocate().map(drop), reply);
    }

    fn lseek(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let state = self.state();
        let seek = || {
            let from = match whence {
                nix::libc::SEEK_DATA => SeekFrom::Data(offset as u64),
                nix::libc::SEEK_HOLE => SeekFrom::Hole(offset as u64),
                _ => return Err(Errno::INVAL),
            };
            fs::seek(&state.handle(handle)?.file, from).map_err(raw)
        };
        match seek() {
            Ok(position) => reply.offset(position as i64),
            Err(errno) => reply.error(said(errno)),
        }
    }

    fn copy_file_range(
        &self,
        request: &Request,
        _: INodeNo,
        from: FileHandle,
        from_offset: u64,
        _: INodeNo,
        to: FileHandle,
        to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let mut copy =
            || {
                let (one, other) = (state.handle(from)?, state.handle(to)?);
                let told = |number: u64| u32::try_from(number).ok();
                let places = told(from_offset).zip(told(to_offset)).zip(told(length));
                let operation = one.slot.zip(other.slot).zip(places);
                let operation = operation.map(|((from, to), ((from_offset, to_offset), length))| {
                    Operation::CopyRange { from, from_offset, to, to_offset, length }
                });
                let (one, other) = (Arc::clone(&one.file), Arc::clone(&other.file));
                let copy = answer(move || {
                    let (mut from, mut to) = (from_offset, to_offset);
                    let count = fs::copy_file_range(&one, Some(&mut from), &other, Some(&mut to), length as usize)?;
                    Ok(Answer::Count(count as u64))
                });
                state.ask(&caller, operation, copy)
            };
        written(copy(), reply);
    }
}

impl Passing {
    /// Makes `name` in the directory `parent`.
    fn made(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        umask: u32,
        operation: impl FnOnce(Text) -> Option<Operation>,
        make: impl Fn(&OwnedFd, &OsStr) -> Result<(), Raw> + Send + 'static,
        reply: ReplyEntry,
    ) {
        let state = &mut *self.state();
        let caller = Caller::of(request, umask, &state.processes);
        let made = || {
            let parent = state.node(parent)?;
            let operation = parent.join(name.as_bytes()).and_then(operation);
            let (directory, new) = (Arc::clone(&parent.file), name.to_owned());
            state.ask(&caller, operation, act(move || make(&directory, &new)))?;
            state.entry(&Caller::ROOT, &parent, name)
        };
        entered(made(), reply);
    }

    /// Removes `name` from the directory `parent`.
    fn removed(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        operation: impl FnOnce(Text) -> Operation,
        flags: AtFlags,
        reply: ReplyEmpty,
    ) {
        let state = &mut *self.state();
        let caller = state.caller(request);
        let removed = || {
            let parent = state.node(parent)?;
            let path = parent.join(name.as_bytes());
            let (directory, name) = (Arc::clone(&parent.file), name.to_owned());
            let remove = act(move || fs::unlinkat(&directory, &name, flags));
            state.ask(&caller, path.clone().map(operation), remove)?;
            path.iter().for_each(|path| state.nodes.gone(path));
            Ok(())
        };
        done(removed(), reply);
    }
}

fn entered(entry: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match entry {
        Ok(entry) => reply.entry(&AT_ONCE, &entry, Generation(0)),
        Err(errno) => reply.error(said(errno)),
    }
}

fn attributed(attributes: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match attributes {
        Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
        Err(errno) => reply.error(said(errno)),
    }
}

fn done(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(said(errno)),
    }
}

fn given(read: Result<Answer, Errno>, reply: ReplyData) {
    match read {
        Ok(Answer::Bytes(bytes)) => reply.data(&bytes),
        Ok(_) => reply.error(said(Errno::IO)),
        Err(errno) => reply.error(said(errno)),
    }
}

fn written(count: Result<Answer, Errno>, reply: ReplyWrite) {
    match count {
        Ok(Answer::Count(count)) => reply.written(count as u32),
        Ok(_) => reply.error(said(Errno::IO)),
        Err(errno) => reply.error(said(errno)),
    }
}

fn in_room(bytes: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match bytes {
        Ok(bytes) if size == 0 => reply.size(bytes.len() as u32),
        Ok(bytes) if bytes.len() > size as usize => reply.error(said(Errno::RANGE)),
        Ok(bytes) => reply.data(&bytes),
        Err(errno) => reply.error(said(errno)),
    }
}
