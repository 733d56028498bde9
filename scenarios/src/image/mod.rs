//! Images assembled offline from text descriptions: the same descriptions and guest binary give the same digests anywhere.
//!
//! *Why:* a page that pulls a real image needs a network and breaks when the image changes; one that pulls a recorded blob
//! cannot be read. A description can be read, and what it says is all there is.
//!
//! *Holds:* the store is an OCI image layout, whole or absent; a store whose inputs did not change is used as it is.
//!
//! *Never:* a clock, a random number, a host file other than the descriptions and the guest binary, a network.
//!
//! *Proved by:* `scenarios/tests/images.rs`.

mod assemble;
mod damage;
mod description;
pub(crate) mod entry;
pub mod json;
pub(crate) mod layer;
mod layout;
mod userland;

use std::io;
use std::path::{Path, PathBuf};

pub use assemble::{Assembled, AssembledLayer, assemble};
pub use damage::{Damage, damage};
pub use description::{Description, EmptyTable, Listing, MediaTypes, RunConfig, Step};
pub use entry::{Content, Entry, EntryKind, WrittenEntry};
pub use layer::{Guest, Hashing, WrittenLayer, digest_of, gzip, write_layer};
pub use layout::{Descriptor, Layout, REF_NAME, Tagged};
pub use userland::Userland;

/// Why images could not be assembled, or an assembled store not read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("cannot {operation} {}: {source}", path.display())]
    Io { operation: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is no image description (see README.md beside it): {source}", path.display())]
    Parse { path: PathBuf, source: Box<toml::de::Error> },
    #[error("{}: {what}", path.display())]
    Invalid { path: PathBuf, what: String },
    #[error("{} is not JSON: {source}; remove the store and assemble it again", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    #[error("no image description (*.toml) in {}", path.display())]
    NoDescriptions { path: PathBuf },
    #[error("the guest binary {} cannot run in an image: {what}; build it with `cargo xtask`", path.display())]
    Guest { path: PathBuf, what: String },
    #[error("{} is not an image store and is not empty: name another directory, or remove it", path.display())]
    NotAStore { path: PathBuf },
    #[error("{digest:?} is no digest: expected sha256: and 64 lower-case hex digits")]
    Digest { digest: String },
    #[error("no image {reference} in {}", path.display())]
    NoImage { reference: String, path: PathBuf },
}

impl ImageError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation, path: path.to_path_buf(), source }
    }
}
