//! The engine for an ordinary user: all its commands share one user and one mount namespace, kept alive by monitors.

use std::fs;
use std::path::Path;

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::records::live_monitors;
use super::{EngineError, Settings, error::failed};
use crate::store::Lock;
use crate::sys::{capability, mount, namespace};

/// Keeps other commands from looking for a namespace while this one's may become the one they are to join.
pub struct NamespaceLock {
    _lock: Option<Lock>,
}

/// Gives a caller without the right to mount a namespace in which it has it: that of a container that runs already, so
/// that its mounts are seen, or else a new one. To be called first thing, with one thread. Root stays where it is.
///
/// Whoever is going to start a container keeps the lock until its monitor lives: two commands must not each make a
/// namespace that lasts.
pub fn enter_namespaces(settings: &Settings) -> Result<NamespaceLock, EngineError> {
    if capability::may_mount() {
        return Ok(NamespaceLock { _lock: None });
    }
    let own = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    fs::create_dir_all(&settings.exec_root).map_err(failed("create", &settings.exec_root))?;
    let lock = NamespaceLock { _lock: Some(Lock::exclusive(&settings.exec_root)?) };
    if let Some(monitor) = live_monitors(&settings.exec_root).into_iter().next() {
        let joined = namespace::join(Pid::from_raw(monitor), own);
        joined.map_err(failed("join the namespaces of", &settings.exec_root))?;
        return Ok(lock);
    }
    namespace::become_root()?;
    mount::make_slave(Path::new("/")).map_err(failed("separate the mounts of", Path::new("/")))?;
    Ok(lock)
}
