//! What is open, read and written: each done below, and told to the bug.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{FileAttr, FileHandle, INodeNo};
use layerlab_model::errno::Errno;
use layerlab_model::operation::{Access, Allocate, Answer, Fill, Flags, Operation};
use nix::libc;
use rustix::fs::{self, FallocateFlags, Mode, OFlags, SeekFrom};

use super::attributes::may;
use super::caller::Caller;
use super::facts::facts;
use super::state::{Handle, Raw, State, act, answer, name, raw};

/// A file is asked what a bug shows of it when it is read only up to this size.
const SHOWN_BYTES_MAX: u64 = 1 << 20;
/// The kernel opens a file to run it (`__FMODE_EXEC` of `include/linux/fs.h`).
const TO_RUN: i32 = 0x20;
/// What a name that is looked up already has been asked for.
const LOOKED_UP: OFlags = OFlags::CREATE.union(OFlags::EXCL).union(OFlags::NOCTTY).union(OFlags::NOFOLLOW);

impl State {
    /// open(2) of a file, or of a directory
    pub fn open_node(&mut self, caller: &Caller, number: INodeNo, flags: i32) -> Result<FileHandle, Errno> {
        let given = OFlags::from_bits_retain((flags & !TO_RUN) as u32) - LOOKED_UP;
        let node = self.node(number)?;
        if flags & TO_RUN != 0 {
            may(caller, &node, fs::Access::EXEC_OK)?;
        }
        let (file, path) = (name(&node.file), node.path);
        let operation = |slot| path.map(|path| Operation::Open { slot, path, flags: flags_of(given), mode: 0 });
        self.open(caller, operation, move || open(|flags| fs::open(&file, flags, Mode::empty()), given))
    }

    /// open(2) with `O_CREAT`
    pub fn create(
        &mut self,
        caller: &Caller,
        (parent, name): (INodeNo, &OsStr),
        mode: u32,
        flags: i32,
    ) -> Result<(FileAttr, FileHandle), Errno> {
        let mode = mode & 0o7777;
        let given = OFlags::from_bits_retain(flags as u32) | OFlags::CREATE;
        let parent = self.node(parent)?;
        let (directory, new, path) = (Arc::clone(&parent.file), name.to_owned(), parent.join(name.as_bytes()));
        let operation = |slot| path.map(|path| Operation::Open { slot, path, flags: flags_of(given), mode });
        let create = move |flags| fs::openat(&directory, &new, flags, Mode::from_raw_mode(mode));
        let handle = self.open(caller, operation, move || open(&create, given))?;
        let entry = self.entry(&Caller::ROOT, &parent, name);
        if entry.is_err() {
            self.close(caller, handle)?;
        }
        Ok((entry?, handle))
    }

    /// pread(2)
    pub fn read(
        &mut self,
        caller: &Caller,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
    ) -> Result<Answer, Errno> {
        let node = self.node(number)?;
        let Handle { file, slot, .. } = self.handle(handle)?;
        let file = Arc::clone(file);
        let operation = slot.zip(u32::try_from(offset).ok());
        let operation = operation.map(|(slot, offset)| Operation::Read { slot, offset, length: size });
        let read = answer(move || {
            let mut bytes = vec![0; size as usize];
            let count = rustix::io::pread(&file, &mut bytes[..], offset)?;
            bytes.truncate(count);
            Ok(Answer::Bytes(bytes))
        });
        let read = self.ask(caller, operation, read)?;
        let stat = node.stat().map_err(raw)?;
        let Some(path) = node.path.as_ref().filter(|_| (stat.st_size as u64) < SHOWN_BYTES_MAX) else {
            return Ok(read);
        };
        let facts = facts(&node.file, &stat, true);
        let shown = self.shown(path, facts.clone())?.content;
        match shown == facts.content {
            true => Ok(read),
            false => Ok(Answer::Bytes(shown.into_iter().skip(offset as usize).take(size as usize).collect())),
        }
    }

    /// pwrite(2)
    pub fn write(&mut self, caller: &Caller, handle: FileHandle, offset: u64, data: &[u8]) -> Result<Answer, Errno> {
        let file = Arc::clone(&self.handle(handle)?.file);
        self.write_to(caller, file, handle, offset, data)
    }

    /// What a mapping of the file `number` holds: it has its place, however the file is open that the kernel names.
    pub fn write_back(
        &mut self,
        number: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> Result<Answer, Errno> {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = fs::open(name(&self.node(number)?.file), flags, Mode::empty()).map_err(raw)?;
        self.write_to(&Caller::ROOT, Arc::new(file), handle, offset, data)
    }

    fn write_to(
        &mut self,
        caller: &Caller,
        file: Arc<OwnedFd>,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
    ) -> Result<Answer, Errno> {
        let told = self.handle(handle)?.slot.zip(u32::try_from(offset).ok()).zip(data.first());
        let operation = told.map(|((slot, offset), letter)| {
            let fill = Fill { letter: char::from(*letter), length: data.len() as u32 };
            Operation::Write { slot, offset, fill }
        });
        let bytes = data.to_vec();
        let write = answer(move || rustix::io::pwrite(&file, &bytes, offset).map(|count| Answer::Count(count as u64)));
        self.ask(caller, operation, write)
    }

    /// copy_file_range(2)
    pub fn copy(
        &mut self,
        caller: &Caller,
        (from, from_offset): (FileHandle, u64),
        (to, to_offset): (FileHandle, u64),
        length: u64,
    ) -> Result<Answer, Errno> {
        let (one, other) = (self.handle(from)?, self.handle(to)?);
        let told = |number: u64| u32::try_from(number).ok();
        let places = told(from_offset).zip(told(to_offset)).zip(told(length));
        let operation = one.slot.zip(other.slot).zip(places);
        let operation = operation.map(|((from, to), ((from_offset, to_offset), length))| Operation::CopyRange {
            from,
            from_offset,
            to,
            to_offset,
            length,
        });
        let (one, other) = (Arc::clone(&one.file), Arc::clone(&other.file));
        let copy = answer(move || {
            let (mut from, mut to) = (from_offset, to_offset);
            let count = fs::copy_file_range(&one, Some(&mut from), &other, Some(&mut to), length as usize)?;
            Ok(Answer::Count(count as u64))
        });
        self.ask(caller, operation, copy)
    }

    /// fallocate(2)
    pub fn allocate(
        &mut self,
        caller: &Caller,
        handle: FileHandle,
        flags: FallocateFlags,
        offset: u64,
        length: u64,
    ) -> Result<(), Errno> {
        let how = match flags {
            _ if flags.is_empty() => Some(Allocate::Extend),
            _ if flags == FallocateFlags::KEEP_SIZE => Some(Allocate::KeepSize),
            _ if flags == FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE => Some(Allocate::Punch),
            _ => None,
        };
        let Handle { file, slot, .. } = self.handle(handle)?;
        let file = Arc::clone(file);
        let told = slot.zip(how).zip(u32::try_from(offset).ok().zip(u32::try_from(length).ok()));
        let operation = told.map(|((slot, how), (offset, length))| Operation::Allocate { slot, how, offset, length });
        self.ask(caller, operation, act(move || fs::fallocate(&file, flags, offset, length))).map(drop)
    }

    /// lseek(2), as far as it asks for data and holes
    pub fn seek(&self, handle: FileHandle, offset: i64, whence: i32) -> Result<u64, Errno> {
        let from = match whence {
            libc::SEEK_DATA => SeekFrom::Data(offset as u64),
            libc::SEEK_HOLE => SeekFrom::Hole(offset as u64),
            _ => return Err(Errno::INVAL),
        };
        fs::seek(&self.handle(handle)?.file, from).map_err(raw)
    }

    /// fsync(2), fdatasync(2)
    pub fn synced(&self, handle: FileHandle, only_data: bool) -> Result<(), Errno> {
        let file = &self.handle(handle)?.file;
        if only_data { fs::fdatasync(file) } else { fs::fsync(file) }.map_err(raw)
    }
}

/// The flags that open(2) was given, in the words of the laws.
fn flags_of(flags: OFlags) -> Flags {
    let access = match flags & OFlags::RWMODE {
        read if read == OFlags::RDONLY => Access::Read,
        write if write == OFlags::WRONLY => Access::Write,
        both if both == OFlags::RDWR => Access::ReadWrite,
        _ => Access::Neither,
    };
    Flags {
        create: flags.contains(OFlags::CREATE),
        exclusive: flags.contains(OFlags::EXCL),
        truncate: flags.contains(OFlags::TRUNC),
        append: flags.contains(OFlags::APPEND),
        directory: flags.contains(OFlags::DIRECTORY),
        no_access_time: flags.contains(OFlags::NOATIME),
        sync: flags.contains(OFlags::SYNC),
        data_sync: flags.contains(OFlags::DSYNC) && !flags.contains(OFlags::SYNC),
        direct: flags.contains(OFlags::DIRECT),
        ..Flags::of(access)
    }
}

/// Opens a file below; what is read and written directly would have to be aligned in our memory, too.
fn open(open: impl FnOnce(OFlags) -> Result<OwnedFd, Raw>, flags: OFlags) -> Result<OwnedFd, Raw> {
    let file = open(flags | OFlags::CLOEXEC)?;
    if flags.contains(OFlags::DIRECT) {
        fs::fcntl_setfl(&file, flags.difference(OFlags::DIRECT))?;
    }
    Ok(file)
}
