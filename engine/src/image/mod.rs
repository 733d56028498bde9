//! Images as values: digests, references, manifests and configurations. Nothing here touches disk or network.

pub mod config;
pub mod digest;
pub mod docker_archive;
pub mod go_json;
pub mod manifest;
pub mod oci_layout;
pub mod reference;

pub use config::{ConfigView, ImageConfig, RunConfig};
pub use digest::{Digest, DigestReader};
pub use reference::Reference;
