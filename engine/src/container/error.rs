//! What the engine refuses, in Docker's own sentences.

use std::io;
use std::path::PathBuf;

use super::load::{LoadError, tar_reason};
use super::rootfs::RootfsError;
use crate::driver::DriverError;
use crate::image::config::ConfigError;
use crate::image::reference::ReferenceError;
use crate::layer::UnpackError;
use crate::registry::{PullError, PushError};
use crate::store::StoreError;
use crate::sys::reason::reason;

/// A refusal. Its text is what dockerd answers, without the prefix `Error response from daemon: `.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No image has this name or ID.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// No container has this name or ID.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// The beginning of an ID fits several.
    #[error("Multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that \
         container to be able to reuse that name."
    )]
    NameInUse { name: String, id: String },
    /// A name that no container may have.
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName(String),
    /// The network of a container that has none at the moment.
    #[error("cannot join network of a non running container: {0}")]
    JoinStopped(String),
    /// Options of a new container that contradict one another, or say nothing.
    #[error("{0}")]
    Options(&'static str),
    /// A container that is called so already.
    #[error("Renaming a container with the same name as its current name")]
    SameName,
    /// A name that a container cannot get.
    #[error("Error when allocating new name: {0}")]
    NewName(Box<EngineError>),
    /// A working directory that is no absolute path.
    #[error("the working directory '{0}' is invalid, it needs to be an absolute path")]
    WorkingDirectory(String),
    /// A working directory in whose place the image has something else.
    #[error("Cannot mkdir: {0} is not a directory")]
    NotADirectory(String),
    /// Neither image nor caller say what to run.
    #[error("No command specified")]
    NoCommand,
    /// The container does not run.
    #[error("Container {0} is not running")]
    NotRunning(String),
    /// A running container is only removed by force.
    #[error("You cannot remove a running container {0}. Stop the container before attempting removal or force remove")]
    RemoveRunning(String),
    /// An image that something still needs.
    #[error("conflict: {0}")]
    Conflict(String),
    /// The container's first process, or a further one, could not be started.
    #[error("{text}")]
    Start { text: String, exit_code: i32 },
    /// Not a signal.
    #[error("Invalid signal: {0}")]
    InvalidSignal(String),
    /// A number that no signal has here.
    #[error("The linux daemon does not support signal {}", i64::from(*.0).cast_unsigned())]
    UnknownSignal(i32),
    /// A change that a commit cannot apply.
    #[error("{0}")]
    Change(String),
    /// No volume has this name.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// A volume that cannot be made or removed.
    #[error("{operation} {name}: {reason}")]
    Volume { operation: &'static str, name: String, reason: String },
    /// A mount that cannot be.
    #[error("{0}")]
    Mount(String),
    /// A mount that the kernel refuses.
    #[error(transparent)]
    Bind(#[from] RootfsError),
    /// A user who owns what is copied, but is unknown to the host.
    #[error("getent unable to find entry {0:?} in passwd database")]
    NoSuchUser(String),
    /// A file that is to hold others.
    #[error("extraction point is not a directory")]
    NotAnExtractionPoint,
    /// A name below a file.
    #[error("lstat {}: not a directory", .0)]
    BelowFile(String),
    /// A volume or a path of the host that a container may only read.
    #[error("mounted volume is marked read-only")]
    ReadOnlyVolume,
    /// A network that this engine does not have.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// A name with a tag that no image has.
    #[error("reference does not exist")]
    NoSuchReference,
    /// An image without layers cannot be saved.
    #[error("empty export - not implemented")]
    EmptyExport,
    /// An image with more layers than the storage driver can stack.
    #[error("max depth exceeded")]
    MaxDepth,
    /// An image whose history tells of more layers than it has.
    #[error("too many non-empty layers in History section")]
    TooMuchHistory,
    /// A file that the store lacks.
    #[error("open {}: no such file or directory", .path.display())]
    Missing { path: PathBuf },
    /// What is made here cannot be written as JSON.
    #[error("cannot write JSON: {}", crate::image::go_json::reason(.0))]
    Json(serde_json::Error),
    /// Whoever takes an archive does not take it.
    #[error("cannot write the archive: {}", reason(.0))]
    Output(io::Error),
    /// An archive that cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A layer whose tar cannot be put together again.
    #[error(transparent)]
    TarSplit(#[from] crate::layer::TarSplitError),
    /// What `ps` cannot show of a container.
    #[error("{0}")]
    Top(String),
    /// A reference that is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// An image configuration that is none.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The records on disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The storage driver.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// No image has this tag, which was to be pushed.
    #[error("tag does not exist: {0}")]
    NoSuchTag(String),
    /// A registry.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// A registry that an image was to be pushed to.
    #[error(transparent)]
    Push(#[from] PushError),
    /// Taking a layer in.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// Taking the files in that are copied into a container.
    #[error("Error processing tar file(exit status 1): {}", unpack_reason(.0))]
    CopyIn(UnpackError),
    /// Namespaces for an ordinary user.
    #[error(transparent)]
    Namespace(#[from] crate::sys::namespace::NamespaceError),
    /// A file or a process.
    #[error("{operation} {}: {}", .path.display(), reason(.source))]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
}

impl EngineError {
    /// The exit code of `docker run` for this refusal: 125, or what the program's start said (126, 127).
    pub fn exit_code(&self) -> i32 {
        match self {
            EngineError::Start { exit_code, .. } => *exit_code,
            _ => 125,
        }
    }
}

/// Go's words for a stream that is no tar, ours for what a tar may not hold.
fn unpack_reason(error: &UnpackError) -> String {
    match error {
        UnpackError::Archive(archive) => tar_reason(archive),
        other => other.to_string(),
    }
}

/// Adds the operation and the path to an I/O error.
pub(super) fn failed(operation: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> EngineError {
    let path = path.to_owned();
    move |source| EngineError::Io { operation, path, source }
}
