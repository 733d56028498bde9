//! A layered store in memory: what every storage driver is held against.
//!
//! *Why*: an oracle that shared code with the accused would share its mistakes. *Holds*: written from POSIX, Linux's
//! manual pages, the OCI image-spec and the kernel's overlayfs document, with the source at each rule. *Never*: imports
//! anything of this workspace, or touches a disk. *Proved by*: its own tests, and the laws, which hold it against a plain
//! directory and a kernel.

pub mod acl;
pub mod changes;
pub mod errno;
pub mod images;
pub mod inode;
pub mod operation;
pub mod process;
pub mod promises;
pub mod received;
pub mod store;
pub mod text;
pub mod union;
