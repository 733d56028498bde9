//! The catalogue pointed outward: what is wrong, as others can use it.
//!
//! ```text
//! a real mount       serve: FUSE (passing) hands every request on to the tree below, through the bug (bench)
//! who asks           caller: the user of a request, whom the kernel below is to take us for
//! what is below      below: what is open of it, and shown; nodes: the files that the kernel has a number of
//! ```

mod below;
pub mod bench;
pub mod caller;
mod nodes;
mod passing;
pub mod serve;
