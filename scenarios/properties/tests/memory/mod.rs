//! Where layers can lie on most machines: a file system that can be an overlay's upper one.

use std::path::PathBuf;

/// `/dev/shm`, else the directory of temporary files.
pub fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
