//! Whether the kernel stacks layers where a data root is: that is tried once, not guessed.
//!
//! A trial lies in `<data root>/tmp`, or in the data root as long as nothing is laid out there, and is locked while it lasts: one that is not
//! is a dead one's, and goes with the next trial, or the next command that makes or removes something (`engine/src/store/staging.rs`). One that was made, but not locked
//! yet, may go so too: then it is tried again.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::files::backing_file_system;
use crate::sys::capability;
use crate::sys::overlay::{Overlay, TRIAL};
use crate::sys::reason::reason;
use crate::sys::removal::remove_tree;

/// How often a trial may be taken for a dead one's.
const ATTEMPTS: usize = 3;

/// What keeps a trial from saying that it went well.
enum Failure {
    /// Nothing was tried: nothing can be written there, or this user may not mount.
    Untried(io::Error),
    /// The kernel does not.
    Refused(io::Error),
}

/// Why the kernel stacks no layers below `data_root`; nothing where it does, or where that cannot be tried: the driver's own error will tell then.
pub(super) fn refusal(data_root: &Path) -> Option<String> {
    let refused = |error: io::Error| {
        format!(
            "the kernel cannot stack layers on {}, where the data root is: {}",
            backing_file_system(data_root.ancestors().find(|path| path.is_dir()).unwrap_or(data_root)),
            reason(&error)
        )
    };
    let mut attempts = (0..ATTEMPTS).map(|_| attempt(data_root));
    let is_settled = |tried: &Result<(), Failure>| !matches!(tried, Err(Failure::Untried(error)) if error.kind() == ErrorKind::NotFound);
    match attempts.find(is_settled)? {
        Err(Failure::Refused(error)) => Some(refused(error)),
        Err(Failure::Untried(error)) if error.kind() == ErrorKind::PermissionDenied && is_bound_root() => {
            Some("root may not mount here: it has not the capability CAP_SYS_ADMIN".to_owned())
        }
        Err(Failure::Untried(_)) | Ok(()) => None,
    }
}

/// Whether this is root, and may not mount. An ordinary user may in a namespace of its own, which a command enters first.
fn is_bound_root() -> bool {
    rustix::process::geteuid().is_root() && !capability::may_mount()
}

/// Leaves nothing, also of a data root that was not there yet.
fn attempt(data_root: &Path) -> Result<(), Failure> {
    let missing: Vec<&Path> = data_root.ancestors().take_while(|path| !path.is_dir()).collect();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(data_root);
    let scratch = Some(data_root.join("tmp")).filter(|path| path.is_dir());
    let tried = made.map_err(Failure::Untried).and_then(|()| in_scratch(scratch.as_deref().unwrap_or(data_root)));
    for path in missing {
        // What somebody has come to use meanwhile is not empty.
        let _ = fs::remove_dir(path);
    }
    tried
}

/// Nothing is waited for: whoever opens a driver may hold any lock.
fn in_scratch(scratch: &Path) -> Result<(), Failure> {
    let trial = tempfile::Builder::new().prefix(TRIAL).tempdir_in(scratch).map_err(Failure::Untried)?;
    let held = File::open(trial.path()).map_err(Failure::Untried)?;
    held.lock().map_err(Failure::Untried)?;
    for entry in fs::read_dir(scratch).map_err(Failure::Untried)?.flatten() {
        let other = entry.path();
        if entry.file_name().to_string_lossy().starts_with(TRIAL)
            && other != trial.path()
            && let Ok(dead) = File::open(&other)
            && dead.try_lock().is_ok()
        {
            // That it cannot go says nothing of the kernel.
            let _ = remove_tree(&other);
        }
    }
    stack(trial.path())
}

/// Stacks two layers in the empty directory `trial`, and does what needs a whiteout and an opaque mark.
fn stack(trial: &Path) -> Result<(), Failure> {
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| trial.join(name));
    let lay_out = || -> io::Result<()> {
        for directory in [&lower.join("directory"), &upper, &work] {
            fs::create_dir_all(directory)?;
        }
        ["file", "directory/file"].iter().try_for_each(|name| fs::write(lower.join(name), ""))
    };
    lay_out().map_err(Failure::Untried)?;
    let overlay = Overlay { lower: vec![lower.clone()], upper: Some((upper, work)) };
    let change = || -> io::Result<bool> {
        let mount = overlay.detached()?;
        let at = |name: &str| mount.path().join(name);
        fs::remove_file(at("file"))?;
        fs::remove_dir_all(at("directory"))?;
        fs::create_dir(at("directory"))?;
        Ok(at("file").exists() || at("directory/file").exists())
    };
    match change() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Failure::Refused(io::Error::other("what is removed is still there"))),
        Err(error) if is_no_room(&error) => Err(Failure::Untried(error)),
        Err(error) if error.kind() == ErrorKind::PermissionDenied && !capability::may_mount() => {
            Err(Failure::Untried(error))
        }
        Err(error) => Err(Failure::Refused(error)),
    }
}

fn is_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem)
}
