//! What a layer is: a name made of digests, a tar of bytes, a directory tree, and the difference of two trees.
//!
//! A layer travels as a tar and lies on disk as the directory that overlayfs stacks (`overlay2/<cache-id>/diff`).
//! [`unpack()`] goes from the first to the second, [`pack()`] back, [`changes()`] compares two mounted trees, and
//! [`chain_id`] names a stack of layers.
//!
//! ```text
//! in the tar (OCI image-spec, layer.md)        on disk (kernel, Documentation/filesystems/overlayfs.rst)
//! dir/.wh.NAME        empty file               dir/NAME   character device 0:0
//! dir/.wh..wh..opq    empty file               dir        xattr trusted.overlay.opaque=y (or user.overlay.opaque=y)
//! xattr user.overlay.NAME, if that is read     xattr user.overlay.overlay.NAME (trusted.overlay.NAME alike)
//! everything else                              the same entry
//! ```
//!
//! *Why*: a tar is written by strangers and unpacked with privilege; most layer stores have had a CVE here
//! (CVE-2014-6407, CVE-2014-9356, CVE-2018-15664, CVE-2021-29136). And a diff ID is the hash of every byte: one header
//! field that differs from Docker's makes another image.
//!
//! *Holds*: a tar is read to its last byte, so a hashing reader below sees all of it; memory does not grow with the
//! size of a file; the same tree packs to the same bytes; a tree that was unpacked packs to the tar it came from when
//! that tar was Docker's own.
//!
//! *Never*: a path outside the given root is created, changed, linked or read because of what a tar says; an error is
//! logged and forgotten; an xattr that came with a file means anything to an overlay.
//!
//! *Proved by*: the tests beside the code, and `engine/tests/layer/` (hostile tars, round trips, Docker's recorded
//! bytes and diff IDs).

pub mod archive;
mod aside;
pub mod blocks;
pub mod bundle;
pub mod chain;
pub mod changes;
pub mod compression;
mod entry;
pub mod header;
mod links;
pub mod pack;
mod root;
pub mod tar_split;
pub mod tree;
pub mod unpack;
pub mod whiteout;
mod xz;

/// The stack of a thread that packs: enough for a tree as deep as a path can be long.
pub const PACKING_STACK_BYTES: usize = 64 << 20;

pub use aside::AsideReader;
pub use blocks::blocks;
pub use bundle::{Bundle, BundleError, BundleOptions, content_hash};
pub use chain::{chain_id, chain_ids};
pub use changes::{
    Change, ChangeKind, ChangesError, Kinship, changes, changes_and_links, changes_and_links_of_all, changes_of_all,
};
pub use compression::decompressed;
pub use pack::{PackError, PackOptions, Packed, pack, pack_changes, pack_unnamed};
pub use tar_split::TarSplitError;
pub use tree::{Files, STAYS, TreeError, copy_data, copy_tree, lay_over};
pub use unpack::{Contents, Owners, UnpackError, UnpackOptions, Unpacked, note_unnamed, unpack, unpack_recording};
pub use whiteout::OverlayXattr;
