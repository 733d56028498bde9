//! How a merged tree is mounted, in the kernel's own words: its line of the mount table (proc_pid_mountinfo(5)).

use std::fs;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::{AtFlags, CWD, StatxFlags};
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};

/// The line of the mount that `merged` is the root of. This thread's root must be one from which that mount can be seen. A mount that
/// is nowhere in the tree has no line: it is put on a directory for as long as its line is read, and nobody may use it later.
pub fn of(merged: impl AsFd) -> io::Result<String> {
    let found = rustix::fs::statx(&merged, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    if let Some(line) = line(found.stx_mnt_id)? {
        return Ok(line);
    }
    let place = tempfile::tempdir()?;
    move_mount(&merged, "", CWD, place.path(), MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    let line = line(found.stx_mnt_id);
    unmount(place.path(), UnmountFlags::DETACH)?;
    line?.ok_or_else(|| io::Error::other("the mount is not in the mount table"))
}

fn line(mount_id: u64) -> io::Result<Option<String>> {
    let table = fs::read_to_string("/proc/thread-self/mountinfo")?;
    let is_meant = |line: &&str| line.split(' ').next() == Some(&mount_id.to_string());
    Ok(table.lines().find(is_meant).map(str::to_owned))
}
