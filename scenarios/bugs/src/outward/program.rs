//! A driver on the command line: a driver of this engine, with or without a bug, that answers as `scenarios/bugs/README.md` says.
//!
//! *Holds*: each call is a process of its own; what stays between them lies below the data root, and what is mounted there.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use layerlab_engine::driver::Driver;
use layerlab_engine::layer::Owners;
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use serde_json::json;

/// Longest name of a layer.
const ID_BYTES_MAX: usize = 64;

/// Where layers are mounted, below the data root.
const MOUNTED: &str = "mounted";

/// What a driver is asked.
#[derive(Debug, Clone, Subcommand)]
pub enum Verb {
    /// Print what the driver promises, as JSON
    Promises,
    /// Make an empty layer on top of another
    Create {
        /// Its name
        id: String,
        /// What it lies on
        parent: Option<String>,
    },
    /// Mount a layer with all below it, to be written to, and print where
    Mount {
        /// Its name
        id: String,
    },
    /// Undo that
    Umount {
        /// Its name
        id: String,
    },
    /// Write the tar of what a layer changes
    Diff {
        /// Its name
        id: String,
        /// What it lies on
        parent: Option<String>,
    },
    /// Make a layer of a tar that is read
    Apply {
        /// Its name
        id: String,
        /// What it lies on
        parent: Option<String>,
    },
    /// Print what a layer changes
    Changes {
        /// Its name
        id: String,
        /// What it lies on
        parent: String,
    },
    /// Remove a layer
    Remove {
        /// Its name
        id: String,
    },
    /// Print the names of all layers
    List,
    /// Nothing is asked any more: nothing runs that is to be ended
    Quit,
}

impl Verb {
    fn names(&self) -> Vec<&str> {
        match self {
            Verb::Create { id, parent } | Verb::Diff { id, parent } | Verb::Apply { id, parent } => {
                [Some(id), parent.as_ref()].into_iter().flatten().map(String::as_str).collect()
            }
            Verb::Changes { id, parent } => vec![id, parent],
            Verb::Mount { id } | Verb::Umount { id } | Verb::Remove { id } => vec![id],
            Verb::Promises | Verb::List | Verb::Quit => Vec::new(),
        }
    }
}

/// Answers.
pub fn answer(
    driver: &dyn Driver,
    data_root: &Path,
    verb: &Verb,
    input: &mut dyn Read,
    output: &mut dyn Write,
) -> anyhow::Result<()> {
    verb.names().into_iter().try_for_each(checked)?;
    match verb {
        Verb::Promises => writeln!(output, "{}", json!({ "like": format!("layerlab-{}", driver.name()) }))?,
        Verb::Create { id, parent } => made(driver, id, || Ok(driver.create(id, parent.as_deref())?))?,
        Verb::Mount { id } => {
            let at = mounted_at(data_root, id);
            let view = driver.edit(id)?;
            fs::create_dir_all(&at).with_context(|| format!("cannot make {}", at.display()))?;
            if let Err(error) = view.mount_on(&at) {
                let _ = fs::remove_dir(&at);
                return Err(error.into());
            }
            output.write_all(at.as_os_str().as_bytes())?;
            output.write_all(b"\n")?;
        }
        Verb::Umount { id } => {
            let at = mounted_at(data_root, id);
            match unmount(&at, UnmountFlags::empty()) {
                Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
                refused => refused.with_context(|| format!("cannot unmount {}", at.display()))?,
            }
            match fs::remove_dir(&at) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.with_context(|| format!("cannot remove {}", at.display()))?,
            }
        }
        Verb::Diff { id, parent } => drop(driver.pack(id, parent.as_deref(), output)?),
        Verb::Apply { id, parent } => {
            let content = tempfile::tempdir_in(data_root).context("cannot make a directory for a layer's content")?;
            // What the root of a layer is that its tar does not name.
            fs::set_permissions(content.path(), fs::Permissions::from_mode(0o755))?;
            driver.unpack(input, content.path(), Owners::AsRecorded, &mut io::sink())?;
            made(driver, id, || Ok(driver.adopt(id, parent.as_deref(), content.path())?))?;
        }
        Verb::Changes { id, parent } => {
            for change in driver.changes(id, parent)? {
                write!(output, "{} ", change.kind.letter())?;
                output.write_all(&escaped(change.path.as_os_str().as_bytes()))?;
                output.write_all(b"\n")?;
            }
        }
        Verb::Remove { id } => driver.remove(id)?,
        Verb::List => driver.all()?.iter().try_for_each(|id| writeln!(output, "{id}"))?,
        Verb::Quit => {}
    }
    Ok(output.flush()?)
}

/// Makes a layer; where that is refused, nothing is left of it.
fn made(driver: &dyn Driver, id: &str, make: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let was_there = driver.all()?.iter().any(|other| other == id);
    let made = make();
    if made.is_err() && !was_there {
        driver.remove(id).context("what was begun of it cannot be removed")?;
    }
    made
}

/// Where a layer is mounted: a driver itself mounts containers only, which lie on something.
fn mounted_at(data_root: &Path, id: &str) -> PathBuf {
    data_root.join(MOUNTED).join(id)
}

/// The driver called `name` below `data_root`, which is made if need be.
pub fn open(name: &str, data_root: &Path) -> anyhow::Result<Box<dyn Driver>> {
    fs::create_dir_all(data_root).with_context(|| format!("cannot make {}", data_root.display()))?;
    Ok(layerlab_engine::driver::open(Some(name), data_root)?)
}

/// A name that can be a directory's.
fn checked(id: &str) -> anyhow::Result<()> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let begins = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !begins || id.len() > ID_BYTES_MAX || !id.bytes().all(is_plain) {
        bail!("{id:?} is no layer: up to {ID_BYTES_MAX} letters, digits, and after the first '.', '_', '-'");
    }
    Ok(())
}

/// A path in one line.
fn escaped(path: &[u8]) -> Vec<u8> {
    let mut line = Vec::new();
    for byte in path {
        match byte {
            b'\\' => line.extend(b"\\\\"),
            b'\n' => line.extend(b"\\n"),
            byte => line.push(*byte),
        }
    }
    line
}
