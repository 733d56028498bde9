//! The real world: mounts, namespaces, processes, terminals, time and chance.
//!
//! *Why*: everything a kernel or a host could refuse stands in one room, so that the rest of the engine can be read
//! without a manual of system calls. *Holds*: the only `unsafe` of the package, each use with its reason. *Never*: a
//! word of Docker's; an opinion on layers or containers. *Proved by*: the tests below each file and every replay.

pub mod btrfs;
pub mod capability;
pub mod fuse;
pub mod link;
pub mod mount;
pub mod namespace;
pub mod overlay;
pub mod owners;
pub mod presence;
pub mod process;
pub mod random;
pub mod reason;
pub mod removal;
pub mod root;
pub mod side_by_side;
pub mod terminal;
