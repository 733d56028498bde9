//! The engine for an ordinary user: all its commands share one user and one mount namespace, kept alive by monitors.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::records::live_monitors;
use super::{Engine, EngineError, Settings, error::failed};
use crate::store::Lock;
use crate::sys::{capability, mount, namespace};

/// Keeps other commands from looking for a namespace while this one's may become the one they are to join.
#[derive(Debug)]
pub struct NamespaceLock {
    exec_root: PathBuf,
    /// Nothing while a container's monitor keeps the namespace, by which others find it.
    lock: Option<Lock>,
}

/// Gives a caller without the right to mount a namespace in which it has it: that of a container that runs already, so
/// that its mounts are seen, or else a new one. To be called first thing, with one thread. Root stays where it is, and gets no
/// lock.
///
/// Whoever is going to start a container keeps the lock until its monitor lives: two commands must not each make a
/// namespace that lasts.
pub fn enter_namespaces(settings: &Settings) -> Result<Option<NamespaceLock>, EngineError> {
    if capability::may_mount() {
        return Ok(None);
    }
    let own = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    fs::create_dir_all(&settings.exec_root).map_err(failed("create", &settings.exec_root))?;
    let lock =
        NamespaceLock { lock: Some(Lock::exclusive(&settings.exec_root)?), exec_root: settings.exec_root.clone() };
    if let Some(monitor) = live_monitors(&settings.exec_root).into_iter().next() {
        let joined = namespace::join(Pid::from_raw(monitor), own);
        joined.map_err(failed("join the namespaces of", &settings.exec_root))?;
        return Ok(Some(lock));
    }
    namespace::become_root()?;
    mount::make_slave(Path::new("/")).map_err(failed("separate the mounts of", Path::new("/")))?;
    Ok(Some(lock))
}

impl Engine {
    /// Keeps the lock on the caller's namespace until a container has been started.
    pub fn keep_until_started(&self, lock: Option<NamespaceLock>) {
        *self.namespace.lock().unwrap_or_else(PoisonError::into_inner) = lock;
    }

    /// Gives the lock on the namespace up: a container's monitor keeps it now, and what comes may take as long as it likes.
    pub(super) fn let_others_in(&self) {
        if let Some(held) = self.namespace.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            drop(held.lock.take());
        }
    }

    /// Takes the lock again after [`Engine::let_others_in`]. When all monitors were gone meanwhile, another command may have
    /// begun a namespace that this one cannot join any more.
    pub(super) fn keep_others_out(&self) -> Result<(), EngineError> {
        let mut namespace = self.namespace.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = namespace.as_mut().filter(|held| held.lock.is_none()) else { return Ok(()) };
        let lock = Lock::exclusive(&held.exec_root)?;
        if live_monitors(&held.exec_root).into_iter().all(is_in_our_namespace) {
            held.lock = Some(lock);
            return Ok(());
        }
        Err(EngineError::Start { text: TWO_NAMESPACES.to_owned(), exit_code: 125 })
    }
}

const TWO_NAMESPACES: &str = "another command has started a container just now, in a namespace that this one cannot join any \
                              more; try again";

/// Whether a monitor mounts where we do; of one that has just ended nothing is left. The namespaces of a stranger's are hidden.
fn is_in_our_namespace(monitor: i32) -> bool {
    let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt"));
    match (of("self"), of(&monitor.to_string())) {
        (Ok(ours), Ok(theirs)) => ours == theirs,
        (_, Err(error)) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}
