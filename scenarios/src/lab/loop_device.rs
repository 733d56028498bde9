//! File systems of a lab that cannot lie in memory: made in a file, on a loop device.
//!
//! *Holds*: the file has no name any more and the device ends with its last mount, so that both go with the lab. *Needs* root of the
//! host and its programs `mkfs.KIND` and `losetup`. *Proved by* `scenarios/tests/lab.rs`.

use std::env;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Command;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

/// Sparse: what is not written takes no room.
const SIZE_BYTES: u64 = 16 << 30;

/// What this host lacks for one of this kind, and how to get it.
pub fn lacks(kind: &str, rootless: bool) -> Option<(String, String)> {
    if rootless {
        let lacks = format!("no ordinary user mounts a {kind}");
        return Some((lacks, "start the lab as root and without --rootless, or with another --driver".to_owned()));
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let is_here = |name: &str| env::split_paths(&path).any(|place| place.join(name).is_file());
    let missing = [format!("mkfs.{kind}"), "losetup".to_owned()].into_iter().find(|name| !is_here(name))?;
    Some((
        format!("this host has no {missing}"),
        format!("install {kind}-progs and mount (Debian), or use another --driver"),
    ))
}

/// A fresh file system of this `kind`, mounted nowhere.
pub(super) fn file_system(kind: &str) -> io::Result<OwnedFd> {
    let file = tempfile::NamedTempFile::new()?;
    file.as_file().set_len(SIZE_BYTES)?;
    run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(file.path()))?;
    let device = run(Command::new("losetup").args(["--find", "--show"]).arg(file.path()))?;
    let mounted = mount(kind, device.trim());
    // It goes on for as long as it is mounted.
    run(Command::new("losetup").args(["--detach", device.trim()]))?;
    mounted
}

fn mount(kind: &str, device: &str) -> io::Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    fsconfig_create(&context)?;
    Ok(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?)
}

/// What it says; a failure is one, in its own words.
fn run(command: &mut Command) -> io::Result<String> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(io::Error::other(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()))),
    }
}
