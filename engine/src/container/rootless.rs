//! The engine for an ordinary user: all its commands share one user and one mount namespace, kept alive by monitors.

use nix::sched::CloneFlags;
use nix::unistd::Pid;

use super::records::live_monitors;
use super::{EngineError, Settings, error::failed};
use crate::sys::{capability, mount, namespace};

/// Gives a caller without the right to mount a namespace in which it has it: that of a container that runs already, so
/// that its mounts are seen, or else a new one. To be called first thing, with one thread. Root stays where it is.
pub fn enter_namespaces(settings: &Settings) -> Result<(), EngineError> {
    if capability::may_mount() {
        return Ok(());
    }
    let own = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS;
    if let Some(monitor) = live_monitors(&settings.exec_root).into_iter().next() {
        return namespace::join(Pid::from_raw(monitor), own)
            .map_err(failed("join the namespaces of", &settings.exec_root));
    }
    namespace::become_root()?;
    mount::make_slave(std::path::Path::new("/")).map_err(failed("separate the mounts of", std::path::Path::new("/")))
}
