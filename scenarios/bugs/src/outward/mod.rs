//! The catalogue pointed outward: what is wrong, as the suite of somebody else can use it. `scenarios/bugs/README.md` is what it is promised.
//!
//! ```text
//! a real mount       mounted: a subject with a bug, on a ground of known layers (ground), mounted (serve) through FUSE
//!                    passing: every request is handed on to the tree below, through the bug (bench)
//!                    below: what is open of that tree, and shown; nodes: the files that the kernel has a number of
//!                    caller: the user of a request, whom the kernel below is to take us for
//! a driver program   program: the verbs of layerlab-driver
//! somebody's suite   detector: run once for each bug, apart from everything (alone); compare: what it caught
//! ```

pub mod alone;
mod below;
pub mod bench;
pub mod caller;
pub mod compare;
pub mod detector;
pub mod ground;
pub mod mounted;
mod nodes;
mod passing;
pub mod program;
pub mod serve;
