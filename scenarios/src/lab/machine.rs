//! The machine a page speaks to, seen from the runner inside the lab: a shell, the engine, and what lies on disk.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::sandbox::Inside;
use crate::target::{Installation, TargetError};

/// Where Docker keeps everything.
pub const DATA_ROOT: &str = "/var/lib/docker";
/// Where a page's shell looks for commands; an engine is installed into the first.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A wish of a page that the lab could not fulfil.
#[derive(Debug, thiserror::Error)]
pub enum ArrangeError {
    #[error("the lab cannot `{directive}`; it can `install docker` and `start docker`")]
    Unknown { directive: String },
    #[error("cannot {directive}: {source}")]
    Target { directive: String, source: TargetError },
}

/// The inside of a lab with a target in it.
pub struct LabMachine {
    name: &'static str,
    installation: Box<dyn Installation>,
    inside: Inside,
}

impl LabMachine {
    pub fn new(name: &'static str, installation: Box<dyn Installation>, inside: Inside) -> LabMachine {
        LabMachine { name, installation, inside }
    }

    /// The target's name: `layerlab` or `docker`.
    pub fn target(&self) -> &'static str {
        self.name
    }

    /// Does what a page asks for beside its commands: `install docker`, `start docker`.
    pub fn arrange(&mut self, directive: &str) -> Result<(), ArrangeError> {
        let outcome = match directive.trim() {
            "install docker" => self.installation.install(),
            "start docker" => self.installation.start(&self.inside),
            _ => return Err(ArrangeError::Unknown { directive: directive.to_owned() }),
        };
        outcome.map_err(|source| ArrangeError::Target { directive: directive.to_owned(), source })
    }

    /// The lab's bash, ready to be started, in root's home.
    pub fn shell(&self) -> Command {
        shell()
    }

    /// What the engine logged so far.
    pub fn engine_log(&self) -> String {
        self.installation.engine_log()
    }

    /// The data root as text; see [`listing`].
    pub fn tree(&self) -> io::Result<String> {
        listing(Path::new(DATA_ROOT))
    }
}

/// A command that runs with the environment of a login on the lab's machine and nothing of the host's.
pub fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    let terminal = std::env::var("TERM").unwrap_or_else(|_| "xterm".into());
    command.env_clear().current_dir("/root").envs([
        ("PATH", PATH),
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("SHELL", "/bin/bash"),
        ("LANG", "C.UTF-8"),
        ("TERM", terminal.as_str()),
    ]);
    command
}

/// The lab's bash with [`command`]'s environment.
pub fn shell() -> Command {
    command("/usr/bin/bash")
}

/// Everything below `root`, one line each, sorted by path: type and mode as `ls -l` has them, `uid:gid`, the size of a
/// file, the path, and where a symlink leads. What is mounted below `root` shows its mount point only. Empty when
/// `root` does not exist.
pub fn listing(root: &Path) -> io::Result<String> {
    let mut lines = String::new();
    if root.symlink_metadata().is_err() {
        return Ok(lines);
    }
    let walk = walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name().same_file_system(true);
    for entry in walk {
        let entry = entry?;
        let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
        lines.push_str(&line(&entry.metadata()?, path, entry.path())?);
    }
    Ok(lines)
}

fn line(meta: &fs::Metadata, path: &Path, full: &Path) -> io::Result<String> {
    use std::os::unix::fs::FileTypeExt;
    let kind = meta.file_type();
    let (letter, size) = match kind {
        _ if kind.is_dir() => ('d', "-".into()),
        _ if kind.is_symlink() => ('l', "-".into()),
        _ if kind.is_char_device() => ('c', format!("{},{}", libc::major(meta.rdev()), libc::minor(meta.rdev()))),
        _ if kind.is_block_device() => ('b', format!("{},{}", libc::major(meta.rdev()), libc::minor(meta.rdev()))),
        _ if kind.is_fifo() => ('p', "-".into()),
        _ if kind.is_socket() => ('s', "-".into()),
        _ => ('-', meta.len().to_string()),
    };
    let leads = if kind.is_symlink() { format!(" -> {}", fs::read_link(full)?.display()) } else { String::new() };
    let mode = meta.permissions().mode() & 0o7777;
    Ok(format!("{letter}{mode:04o} {}:{} {size} {}{leads}\n", meta.uid(), meta.gid(), path.display()))
}

/// The data root of a kept lab, as the host reaches it.
pub fn data_root_from_outside(pid: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/root{DATA_ROOT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_tells_type_mode_size_and_target() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("l")).unwrap();
        fs::write(root.path().join("link"), "ABC").unwrap();
        fs::set_permissions(root.path().join("link"), fs::Permissions::from_mode(0o640)).unwrap();
        fs::set_permissions(root.path().join("l"), fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("../diff", root.path().join("l/ABC")).unwrap();
        let owner = format!("{}:{}", nix::unistd::geteuid(), root.path().metadata().unwrap().gid());
        let expected = format!("d0700 {owner} - l\nl0777 {owner} - l/ABC -> ../diff\n-0640 {owner} 3 link\n");
        assert_eq!(listing(root.path()).unwrap(), expected);
    }

    #[test]
    fn a_data_root_that_is_not_there_lists_as_nothing() {
        assert_eq!(listing(Path::new("/nowhere/at/all")).unwrap(), "");
    }
}
