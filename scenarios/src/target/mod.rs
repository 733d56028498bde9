//! What a page's `docker` is: each target is one file that finds an engine on the host and puts it into the lab.
//!
//! *Why*: the very same page must run on our engine and on real dockerd. *Holds*: before `install` the lab has no
//! `docker` and no /var/lib/docker; after `start` the engine answers. *Never*: a target speaks to an engine outside the
//! lab. To add one: write its file, name it in the list below
//! and in `page/front.rs`.

use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use crate::lab::furnish::Program;
use crate::lab::machine::DATA_ROOT;
use crate::lab::sandbox::{Annexe, Inside};

pub mod docker;
pub mod layerlab;
pub mod podman;

/// Every target, the default first.
pub const TARGETS: [&dyn Target; 3] = [&layerlab::Layerlab, &docker::Docker, &podman::Podman];

/// The target called `name`.
pub fn named(name: &str) -> Option<&'static dyn Target> {
    TARGETS.into_iter().find(|target| target.name() == name)
}

/// One kind of engine.
pub trait Target: Sync {
    fn name(&self) -> &'static str;

    /// Outside: finds everything the engine needs on this host.
    fn find(&self, wanted: Wanted) -> Result<Box<dyn Installation>, FindError>;
}

/// What an engine has to be able to do.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The lab is an ordinary user's.
    pub rootless: bool,
    /// The storage driver, one of [`crate::page::DRIVERS`]; it stands in the lab's /etc/docker/daemon.json too.
    pub driver: &'static str,
}

/// An engine that was found: what it needs of the host, and how it is put to work inside.
pub trait Installation {
    /// Programs of the host to be shown in the lab.
    fn programs(&self) -> Vec<Program>;

    /// Directories of the host, shown in the lab at the same place.
    fn directories(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Where it keeps everything, inside.
    fn data_root(&self) -> &'static str {
        DATA_ROOT
    }

    /// A second mount namespace for a daemon that needs more of the host than a page may see.
    fn annexe(&self) -> Option<Annexe> {
        None
    }

    /// Whether it needs control groups of its own.
    fn cgroup(&self) -> bool {
        false
    }

    /// Inside: puts `docker` into PATH and makes an empty data root.
    fn install(&mut self) -> Result<(), TargetError>;

    /// Inside: makes the installed engine answer.
    fn start(&mut self, inside: &Inside) -> Result<(), TargetError>;

    /// Inside: ends what `start` started, and waits for its end; it may be started again.
    fn stop(&mut self) -> Result<(), TargetError> {
        Ok(())
    }

    /// Inside: what the engine logged so far.
    fn engine_log(&self) -> String;
}

/// Why a target cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// This host cannot have it; the run is skipped, and says so.
    #[error("{0}")]
    Unavailable(Unavailable),
    #[error("the engine {path} is not there: {hint}")]
    NotBuilt { path: PathBuf, hint: String },
}

/// What this host lacks and how to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    pub lacks: String,
    pub remedy: String,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.lacks, self.remedy)
    }
}

/// An engine that could not be put to work.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("cannot make {path} in the lab: {source}")]
    Make { path: PathBuf, source: io::Error },
    #[error("cannot run {program} in the lab: {source}")]
    Run { program: String, source: io::Error },
    #[error("{program} failed ({status}); it said:\n{said}")]
    Failed { program: String, status: String, said: String },
    #[error("{program} did not end within {seconds} seconds; its log ends:\n{log}")]
    Restless { program: String, seconds: u64, log: String },
    #[error("{program} did not answer within {seconds} seconds; its log ends:\n{log}")]
    Silent { program: String, seconds: u64, log: String },
}

/// Puts `program` into PATH as `docker` and makes the data root, mode 0711, as Docker's package does.
fn install_as_docker(program: &Path) -> Result<(), TargetError> {
    install_as(program, "docker")?;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(DATA_ROOT);
    made.map_err(|source| TargetError::Make { path: DATA_ROOT.into(), source })
}

/// Makes `program` the lab's command of that name.
fn install_as(program: &Path, name: &str) -> Result<(), TargetError> {
    let path = Path::new("/usr/local/bin").join(name);
    match symlink(program, &path) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => Err(TargetError::Make { path, source }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_found_by_its_name_and_no_file_is_forgotten() {
        for target in TARGETS {
            assert_eq!(named(target.name()).unwrap().name(), target.name());
        }
        let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/target")).unwrap();
        let mut names: Vec<String> = files
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "mod")
            .collect();
        names.sort();
        let mut listed: Vec<&str> = TARGETS.iter().map(|target| target.name()).collect();
        listed.sort();
        assert_eq!(names, listed);
        assert_eq!(TARGETS.map(Target::name), crate::page::TARGETS);
    }
}
