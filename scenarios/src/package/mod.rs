//! The packages that the lab's repository serves, assembled offline from text descriptions: `.deb` archives, and archives for yum.
//!
//! *Why*: documents install packages; what that changes in a container must be real files that came over a network.
//! *Holds*: the same descriptions and guest give the same bytes. *Never*: a file is served that its index does not list with
//! size and SHA-256. *Proved by* `scenarios/tests/packages.rs`. The format is explained in `scenarios/packages/README.md`.

mod deb;
mod description;
mod repository;

pub use description::Package;
pub use repository::assemble;

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no repository.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    #[error("cannot {operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{}: {what}", path.display())]
    Invalid { path: PathBuf, what: String },
}

impl PackageError {
    fn io(operation: &'static str, path: &Path, source: io::Error) -> PackageError {
        PackageError::Io { operation, path: path.to_owned(), source }
    }
}
