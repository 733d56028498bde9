//! Machines that are a process: user-mode Linux, which needs neither root nor a machine that is played, and starts in a second.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

use super::machine::{Parts, ends_with_us};

/// As for one that QEMU plays.
const MEMORY: &str = "mem=1024M";

/// What starts a machine of these parts, whose disks are `/dev/ubda`, `/dev/ubdb`, …; its events are written by itself, into its directory.
pub fn command(parts: &Parts<'_>) -> anyhow::Result<Command> {
    let mut command = ends_with_us(parts.kernel);
    command.arg(MEMORY).arg(format!("uml_dir={}/", parts.directory.display())).arg("umid=uml");
    command.arg(format!("initrd={}", parts.archive.display()));
    for (letter, disk) in ('a'..).zip(parts.disks) {
        command.arg(format!("ubd{letter}={}", disk.display()));
    }
    command.args(["con=null", "con0=null,fd:1", "ssl=null", "root=/dev/ram0", "rdinit=/init", "quiet", "panic=-1"]);
    let log = File::create(parts.console).with_context(|| format!("cannot write {}", parts.console.display()))?;
    command.stderr(log.try_clone()?).stdout(log);
    // Its memory is a file there.
    let memory = Path::new("/dev/shm");
    command.env("TMPDIR", if memory.is_dir() { memory } else { parts.directory });
    Ok(command)
}
