//! What a layer is: as bytes in a tar, as a directory an overlay can stack, and as a list of changes.
//!
//! *Why*: a layer comes from strangers and goes to strangers; what is lost or let through here is lost or let through
//! everywhere. *Holds*: unpacking touches nothing outside its root, whatever the tar says; packing the same directory
//! twice gives the same bytes; overlayfs's private attributes never enter or leave. *Never*: a store, a mount, a
//! registry. *Proved by*: the tests of each file and `engine/tests/layer.rs`.

mod chain;
mod changes;
mod header;
mod pack;
mod unpack;

pub use chain::{chain_id, chain_ids};
pub use changes::{Change, ChangeKind, ChangesError, changes};
pub use pack::{PackError, PackOptions, Packed, pack};
pub use unpack::{Owners, UnpackError, UnpackOptions, Unpacked, unpack};

/// The namespace in which overlayfs keeps its own attributes, and by which an opaque directory is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverlayXattr {
    /// `trusted.overlay.*`, as root of the host.
    Trusted,
    /// `user.overlay.*`, mounted with `userxattr` in a user namespace.
    User,
}

impl OverlayXattr {
    /// The attribute whose value `y` makes a directory hide what lies below it.
    pub fn opaque(self) -> &'static str {
        match self {
            OverlayXattr::Trusted => "trusted.overlay.opaque",
            OverlayXattr::User => "user.overlay.opaque",
        }
    }
}

/// Prefix of the name of an entry that hides the entry it names (OCI image-spec, `layer.md`, "Whiteouts").
const WHITEOUT: &str = ".wh.";
/// Name of the entry that hides everything below its directory.
const OPAQUE: &str = ".wh..wh..opq";
/// Prefix of names that AUFS kept for itself; they mean nothing.
const METADATA: &str = ".wh..wh.";
/// PAX record prefix of extended attributes (star, GNU tar, libarchive, Go).
const PAX_XATTR: &str = "SCHILY.xattr.";
