//! A file system in user space that hands every request on to a tree below, through a bug.
//!
//! *Why*: a suite that is not ours needs a directory, not a trait. *Holds*: without a bug what comes back is what the tree below gives:
//! the same answers, errors, attributes and times; nothing is kept by the kernel (no entry, no attribute, no content).
//! *Never*: a path where a descriptor does: only a bug sees paths. *Proved by*: `scenarios/bugs/tests/through_fuse.rs`, which holds the laws
//! against an overlay behind it.
//!
//! ```text
//! serve       the mount, and the thread that answers for it
//! passing     the protocol: each request as a call, and its result as a reply (replies)
//! names       what makes, moves and removes names     )
//! attributes  who and what a file is                  )  done below, told to the bug
//! contents    what is open, read and written          )
//! state       what all of these know: the files that the kernel has a number of (nodes), what is open, what a bug shows (facts)
//! behind      such a mount as a subject of our own laws and situations, whose system calls meet the bug so
//! bench       where a request lies while the bug looks at it; caller: the user whom the kernel below is to take us for
//! ```
//!
//! What FUSE itself changes: files without a name (`O_TMPFILE`) and ioctls are refused; two names of one file are two files to locks, to mappings
//! that are not written back yet, and to who may rename the one to the other; `O_DIRECT` asks for no alignment; a process has the rights of
//! its user, not of its capabilities.

mod attributes;
pub mod behind;
pub mod bench;
mod caller;
mod contents;
mod facts;
mod names;
mod nodes;
mod passing;
mod replies;
pub mod serve;
mod state;
