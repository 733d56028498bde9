//! The processes of a container: those of the process ID namespace of its first one.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::failed;
use super::{Container, EngineError};

/// Their directories in `/proc`; none when the container has ended.
pub(super) fn directories(container: &Container) -> Result<Vec<PathBuf>, EngineError> {
    let proc = Path::new("/proc");
    // One that ends meanwhile is in no namespace any more.
    let namespace = |process: &Path| fs::read_link(process.join("ns/pid")).ok();
    let Some(own) = namespace(&proc.join(container.config.state.pid.to_string())) else { return Ok(Vec::new()) };
    let all = fs::read_dir(proc).map_err(failed("list", proc))?.flatten().map(|entry| entry.path());
    Ok(all.filter(|process| namespace(process).as_ref() == Some(&own)).collect())
}
