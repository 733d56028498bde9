//! What the kernel's log has to say of itself while laws are held: a warning, a bug, a file system that found itself damaged.
//!
//! Checklist: MN-08~

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;

/// The log from a moment on. Format: `Documentation/ABI/testing/dev-kmsg`.
#[derive(Debug)]
pub struct KernelLog {
    file: File,
}

/// What the kernel writes where something is wrong with it, or with a file system below; refusals are written too, and are none of these. The log is the whole machine's: what others brought about is told as well.
const COMPLAINTS: [&str; 18] = [
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "KASAN:",
    "UBSAN:",
    "general protection fault",
    "refcount_t:",
    "blocked for more than",
    "soft lockup",
    "possible circular locking",
    "EXT4-fs error",
    "orruption",
    "csum failed",
    "Internal error",
    "BTRFS critical",
    "BTRFS error",
    "I/O error",
];

impl KernelLog {
    /// The log from now on.
    ///
    /// # Errors
    /// Where only others may read it (`/proc/sys/kernel/dmesg_restrict`), or there is none.
    pub fn from_now_on() -> io::Result<KernelLog> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        let mut file = OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg")?;
        file.seek(SeekFrom::End(0))?;
        Ok(KernelLog { file })
    }

    /// The complaints since, in the kernel's words.
    pub fn complaints(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let mut record = vec![0; 8192];
        loop {
            match self.file.read(&mut record) {
                // It is something else by that name, which ends.
                Ok(0) => return found,
                Ok(length) => found.extend(complaint(&String::from_utf8_lossy(&record[..length]))),
                // Records were overwritten before they were read; the next is there.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Err(_) => return found,
            }
        }
    }
}

/// The text of a record, where that is a complaint.
fn complaint(record: &str) -> Option<String> {
    let (prefix, text) = record.split_once(';')?;
    let text = text.lines().next().unwrap_or_default();
    // The facility is in the bits above the level (syslog(3)); whoever writes there from outside is not the kernel.
    let is_kernels =
        prefix.split(',').next().and_then(|word| word.parse::<u32>().ok()).is_some_and(|word| word >> 3 == 0);
    (is_kernels && COMPLAINTS.iter().any(|word| text.contains(word))).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_what_else_is_written() {
        let warning =
            "4,1234,5678,-;WARNING: CPU: 1 PID: 77 at fs/overlayfs/dir.c:9 ovl_rename+0x1/0x2\n SUBSYSTEM=x\n";
        assert_eq!(
            complaint(warning).as_deref(),
            Some("WARNING: CPU: 1 PID: 77 at fs/overlayfs/dir.c:9 ovl_rename+0x1/0x2")
        );
        let found = "1,1,2,-;XFS (loop3): Metadata corruption detected at xfs_dinode_verify+0x1, inode 0x83";
        assert!(complaint(found).is_some());
        assert_eq!(complaint("3,1,2,-;overlayfs: overlapping lowerdir path\n"), None);
        assert_eq!(complaint("12,1,2,-;somebody: WARNING: not the kernel\n"), None);
        assert_eq!(complaint("6,1,2,-;EXT4-fs (loop0): mounted filesystem\n"), None);
    }
}
