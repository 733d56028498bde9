//! File handles (name_to_handle_at(2)): a file by what its file system calls it, wherever its name is by now.

use std::fs::File;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::libc;

/// The most that the kernel gives (`MAX_HANDLE_SZ`).
const BYTES_MAX: usize = 128;

/// `struct file_handle` with its bytes.
#[repr(C)]
#[derive(Debug, Clone)]
pub struct Handle {
    bytes: u32,
    kind: i32,
    handle: [u8; BYTES_MAX],
}

// The kernel's structure ends where its bytes begin.
const _: () = assert!(offset_of!(Handle, handle) == size_of::<libc::file_handle>());

impl Handle {
    /// That of the file at `path`.
    ///
    /// # Errors
    /// `EOPNOTSUPP` where the file system gives none that can be opened.
    pub fn of(path: &Path) -> Result<Handle, Errno> {
        let mut handle = Handle { bytes: BYTES_MAX as u32, kind: 0, handle: [0; BYTES_MAX] };
        let mut mount = 0;
        nix::NixPath::with_nix_path(path, |path| {
            let structure = (&raw mut handle).cast();
            // SAFETY: the path ends with a zero, and the structure has room for as many bytes as it says.
            Errno::result(unsafe {
                libc::name_to_handle_at(libc::AT_FDCWD, path.as_ptr(), structure, &raw mut mount, 0)
            })
        })??;
        Ok(handle)
    }

    /// Opens the file to read it, on the file system that `mounted` is on. It takes `CAP_DAC_READ_SEARCH`.
    ///
    /// # Errors
    /// `ESTALE` where there is no such file any more, `EPERM` for an ordinary user.
    pub fn open(&self, mounted: &File) -> Result<File, Errno> {
        let mut handle = self.clone();
        let structure = (&raw mut handle).cast();
        let flags = libc::O_RDONLY | libc::O_CLOEXEC;
        // SAFETY: the structure is one that the kernel filled; the descriptor that comes back is nobody else's.
        let opened = Errno::result(unsafe { libc::open_by_handle_at(mounted.as_raw_fd(), structure, flags) })?;
        // SAFETY: as above.
        Ok(unsafe { File::from_raw_fd(opened) })
    }
}
