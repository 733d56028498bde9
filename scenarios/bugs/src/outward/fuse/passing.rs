//! The protocol: each request as a call on the tree below, and what comes of it as a reply.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, FopenFlags, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use layerlab_model::errno::Errno;
use layerlab_properties::perform::Hands;
use rustix::fs::{self, FallocateFlags, FileType, OFlags, RenameFlags, XattrFlags};

use super::attributes::may;
use super::bench::Bench;
use super::caller::Caller;
use super::replies::{attributed, created, done, entered, found, given, in_room, opened, said, written};
use super::state::{Handle, State, raw};
use crate::bug::ThroughFuse;

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

    /// What is known, and who asks.
    fn asked(&self, request: &Request) -> (MutexGuard<'_, State>, Caller) {
        self.asked_with(request, 0)
    }

    /// Who asks has this file mode mask.
    fn asked_with(&self, request: &Request, umask: u32) -> (MutexGuard<'_, State>, Caller) {
        let state = self.state();
        let caller = Caller::of(request, umask, &state.processes);
        (state, caller)
    }
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
        let (mut state, caller) = self.asked(request);
        entered(state.node(parent).and_then(|parent| state.entry(&caller, &parent, name)), reply);
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
        let (mut state, caller) = self.asked(request);
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
        let (mut state, caller) = self.asked(request);
        given(state.read_link(&caller, number), reply);
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
        let (mut state, caller) = self.asked_with(request, umask);
        entered(state.make_node(&caller, (parent, name), mode, device), reply);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let (mut state, caller) = self.asked_with(request, umask);
        entered(state.make_directory(&caller, (parent, name), mode), reply);
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, content: &Path, reply: ReplyEntry) {
        let (mut state, caller) = self.asked(request);
        entered(state.make_symlink(&caller, (parent, name), content), reply);
    }

    fn link(&self, request: &Request, number: INodeNo, parent: INodeNo, new: &OsStr, reply: ReplyEntry) {
        let (mut state, caller) = self.asked(request);
        entered(state.make_link(&caller, number, (parent, new)), reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (mut state, caller) = self.asked(request);
        done(state.unlink(&caller, (parent, name)), reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (mut state, caller) = self.asked(request);
        done(state.remove_directory(&caller, (parent, name)), reply);
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
        let (mut state, caller) = self.asked(request);
        let flags = RenameFlags::from_bits_retain(flags.bits());
        done(state.rename(&caller, (parent, name), (new_parent, new_name), flags), reply);
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (mut state, caller) = self.asked(request);
        opened(state.open_node(&caller, number, flags.0), FopenFlags::FOPEN_DIRECT_IO, reply);
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
        let (mut state, caller) = self.asked_with(request, umask);
        created(state.create(&caller, (parent, name), mode, flags), reply);
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
        let (mut state, caller) = self.asked(request);
        given(state.read(&caller, number, handle, offset, size), reply);
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
        let (mut state, caller) = self.asked(request);
        let count = if flags.contains(WriteFlags::FUSE_WRITE_CACHE) {
            state.write_back(number, handle, offset, data)
        } else {
            state.write(&caller, handle, offset, data)
        };
        written(count, reply);
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
        let (mut state, caller) = self.asked(request);
        done(state.close(&caller, handle), reply);
    }

    fn fsync(&self, _: &Request, _: INodeNo, handle: FileHandle, only_data: bool, reply: ReplyEmpty) {
        done(self.state().synced(handle, only_data), reply);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, handle: FileHandle, only_data: bool, reply: ReplyEmpty) {
        done(self.state().synced(handle, only_data), reply);
    }

    fn opendir(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (mut state, caller) = self.asked(request);
        let flags = flags.0 | OFlags::DIRECTORY.bits() as i32;
        opened(state.open_node(&caller, number, flags), FopenFlags::empty(), reply);
    }

    fn readdir(&self, request: &Request, number: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let (mut state, caller) = self.asked(request);
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
        let (mut state, caller) = self.asked(request);
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
        let (mut state, caller) = self.asked(request);
        let flags = XattrFlags::from_bits_retain(flags as u32);
        done(state.set_xattr(&caller, number, attribute, value, flags), reply);
    }

    fn getxattr(&self, request: &Request, number: INodeNo, attribute: &OsStr, size: u32, reply: ReplyXattr) {
        let (state, caller) = self.asked(request);
        in_room(state.get_xattr(&caller, number, attribute), size, reply);
    }

    fn listxattr(&self, request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let (state, caller) = self.asked(request);
        in_room(state.list_xattrs(&caller, number), size, reply);
    }

    fn removexattr(&self, request: &Request, number: INodeNo, attribute: &OsStr, reply: ReplyEmpty) {
        let (mut state, caller) = self.asked(request);
        done(state.remove_xattr(&caller, number, attribute), reply);
    }

    fn access(&self, request: &Request, number: INodeNo, mask: AccessFlags, reply: ReplyEmpty) {
        let (state, caller) = self.asked(request);
        let access = fs::Access::from_bits_retain(mask.bits() as u32);
        done(state.node(number).and_then(|node| may(&caller, &node, access)), reply);
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
        let (mut state, caller) = self.asked(request);
        let flags = FallocateFlags::from_bits_retain(mode as u32);
        done(state.allocate(&caller, handle, flags, offset, length), reply);
    }

    fn lseek(&self, _: &Request, _: INodeNo, handle: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        found(self.state().seek(handle, offset, whence), reply);
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
        let (mut state, caller) = self.asked(request);
        written(state.copy(&caller, (from, from_offset), (to, to_offset), length), reply);
    }
}
