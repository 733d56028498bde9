//! What comes of a request, as FUSE has it said. Nothing is kept: no name and no attribute is good for longer than the answer.

use std::time::Duration;

use fuser::{
    FileAttr, FileHandle, FopenFlags, Generation, ReplyAttr, ReplyCreate, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyLseek, ReplyOpen, ReplyWrite, ReplyXattr,
};
use layerlab_model::errno::Errno;
use layerlab_model::operation::Answer;

/// Nothing is kept.
const AT_ONCE: Duration = Duration::ZERO;

/// An error.
pub fn said(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.0)
}

/// A name.
pub fn entered(entry: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match entry {
        Ok(entry) => reply.entry(&AT_ONCE, &entry, Generation(0)),
        Err(errno) => reply.error(said(errno)),
    }
}

/// What a file is.
pub fn attributed(attributes: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match attributes {
        Ok(attributes) => reply.attr(&AT_ONCE, &attributes),
        Err(errno) => reply.error(said(errno)),
    }
}

/// That it is done.
pub fn done<T>(done: Result<T, Errno>, reply: ReplyEmpty) {
    match done {
        Ok(_) => reply.ok(),
        Err(errno) => reply.error(said(errno)),
    }
}

/// An open file or directory.
pub fn opened(opened: Result<FileHandle, Errno>, flags: FopenFlags, reply: ReplyOpen) {
    match opened {
        Ok(handle) => reply.opened(handle, flags),
        Err(errno) => reply.error(said(errno)),
    }
}

/// A new file, which is open.
pub fn created(created: Result<(FileAttr, FileHandle), Errno>, reply: ReplyCreate) {
    match created {
        Ok((entry, handle)) => reply.created(&AT_ONCE, &entry, Generation(0), handle, FopenFlags::FOPEN_DIRECT_IO),
        Err(errno) => reply.error(said(errno)),
    }
}

/// Bytes.
pub fn given(read: Result<Answer, Errno>, reply: ReplyData) {
    match read {
        Ok(Answer::Bytes(bytes)) => reply.data(&bytes),
        Ok(_) => reply.error(said(Errno::IO)),
        Err(errno) => reply.error(said(errno)),
    }
}

/// How many bytes.
pub fn written(count: Result<Answer, Errno>, reply: ReplyWrite) {
    match count {
        Ok(Answer::Count(count)) => reply.written(count as u32),
        Ok(_) => reply.error(said(Errno::IO)),
        Err(errno) => reply.error(said(errno)),
    }
}

/// A place in a file.
pub fn found(position: Result<u64, Errno>, reply: ReplyLseek) {
    match position {
        Ok(position) => reply.offset(position as i64),
        Err(errno) => reply.error(said(errno)),
    }
}

/// Bytes that a program has room of `size` for; or, where it has none, how many they are.
pub fn in_room(bytes: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match bytes {
        Ok(bytes) if size == 0 => reply.size(bytes.len() as u32),
        Ok(bytes) if bytes.len() > size as usize => reply.error(said(Errno::RANGE)),
        Ok(bytes) => reply.data(&bytes),
        Err(errno) => reply.error(said(errno)),
    }
}
