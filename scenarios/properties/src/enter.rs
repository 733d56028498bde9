//! Namespaces in which cases run: mounts of one's own, and for an ordinary user a user namespace in which that is allowed.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use anyhow::Context;
use layerlab_scenarios::lab::user_map::UserMap;
use nix::sched::{CloneFlags, unshare};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Runs `body` with mounts of its own; its end unmounts everything. `rootless` takes a user namespace even for root.
/// Call this while the process has one thread.
pub fn in_namespaces(rootless: bool, body: impl FnOnce(UserMap) -> u8) -> anyhow::Result<u8> {
    let is_root = nix::unistd::geteuid().is_root();
    if is_root && !rootless {
        own_mounts()?;
        return Ok(body(UserMap::Whole));
    }
    let map = UserMap::best();
    let (mut ours, mut theirs) = UnixStream::pair()?;
    // SAFETY: this process has one thread, as the caller promises.
    match unsafe { fork() }.context("cannot fork")? {
        ForkResult::Parent { child } => {
            drop(theirs);
            let mut byte = [0];
            ours.read_exact(&mut byte).context("the kernel refuses a user namespace")?;
            map.write(child.as_raw())?;
            ours.write_all(&byte)?;
            match waitpid(child, None)? {
                WaitStatus::Exited(_, code) => Ok(code as u8),
                other => anyhow::bail!("the laws ended with {other:?}"),
            }
        }
        ForkResult::Child => {
            drop(ours);
            let mut entered = || -> anyhow::Result<()> {
                unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS)?;
                theirs.write_all(&[0])?;
                theirs.read_exact(&mut [0])?;
                let root = nix::unistd::Uid::from_raw(0);
                let group = nix::unistd::Gid::from_raw(0);
                nix::unistd::setresgid(group, group, group)?;
                nix::unistd::setresuid(root, root, root)?;
                keep_mounts_to_ourselves()
            };
            if let Err(error) = entered() {
                eprintln!("layerlab-laws: cannot have a user namespace: {error:#}");
                std::process::exit(1);
            }
            std::process::exit(i32::from(body(map)));
        }
    }
}

/// Gives the calling thread mounts of its own, which end with it and show nowhere else.
pub fn own_mounts() -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("cannot have mounts of its own")?;
    keep_mounts_to_ourselves()
}

fn keep_mounts_to_ourselves() -> anyhow::Result<()> {
    use rustix::mount::{MountPropagationFlags, mount_change};
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .context("cannot keep mounts from showing elsewhere")
}
