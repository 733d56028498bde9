//! Images as values: digests, references, manifests and configurations. Nothing here touches disk or network.

pub mod digest;

pub use digest::{Digest, DigestReader};
