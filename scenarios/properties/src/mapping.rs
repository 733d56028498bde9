//! Shared mappings of files: a write through one, and one that stays to be read.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MsyncFlags, ProtFlags, mmap, msync, munmap};
use rustix::param::page_size;

/// Writes `bytes` at `offset` of `file` by memory. Beyond its end nothing is written (`EINVAL`): the kernel would send a
/// signal.
pub fn write(file: BorrowedFd, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    let stat = fstat(file)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if is_file && offset + bytes.len() as u64 > stat.st_size as u64 && may_map(file) {
        return Err(Errno::INVAL);
    }
    let start = offset / page_size() as u64 * page_size() as u64;
    let skipped = (offset - start) as usize;
    let length = skipped + bytes.len();
    // SAFETY: the mapping is new, this function's own, and lives until `munmap`; the file is as long as is written, and
    // nobody else has it while a case runs.
    unsafe {
        let memory = mmap(ptr::null_mut(), length, ProtFlags::WRITE, MapFlags::SHARED, file, start)?;
        ptr::copy_nonoverlapping(bytes.as_ptr(), memory.cast::<u8>().add(skipped), bytes.len());
        let synced = msync(memory, length, MsyncFlags::SYNC);
        munmap(memory, length).and(synced)
    }
}

/// Whether the kernel would map it: it must be open for both.
fn may_map(file: BorrowedFd) -> bool {
    rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(rustix::fs::OFlags::RDWR))
}

/// A shared mapping of the beginning of a file, to be read.
pub struct Shared {
    memory: *const u8,
    length: usize,
    /// What is mapped; it stays as long as it needs to be.
    _file: File,
}

impl Shared {
    /// Maps the first `length` bytes, of which there are as many.
    pub fn new(file: File, length: usize) -> Result<Shared, Errno> {
        if fstat(&file)?.st_size < length as i64 {
            return Err(Errno::INVAL);
        }
        // SAFETY: the mapping is new and lives until this is dropped.
        let memory = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, &file, 0) }?;
        Ok(Shared { memory: memory.cast(), length, _file: file })
    }

    /// What is there now. Whoever shortens the file meanwhile ends this process by a signal.
    pub fn bytes(&self) -> Vec<u8> {
        // SAFETY: so many bytes are mapped; each is read as it is now.
        (0..self.length).map(|at| unsafe { self.memory.add(at).read_volatile() }).collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: it was mapped in `new`, and nobody has a pointer into it.
        let unmapped = unsafe { munmap(self.memory.cast_mut().cast(), self.length) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}
