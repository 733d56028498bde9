//! The catalogue pointed outward: what is wrong, as the suite of somebody else can use it. `scenarios/bugs/README.md` is what it is promised.
//!
//! ```text
//! a real mount       mounted: a subject with a bug, on a ground of known layers (ground), mounted through FUSE (fuse)
//! a driver program   program: the verbs of layerlab-driver
//! somebody's suite   detector: run once for each bug, apart from everything; compare: what it caught
//! ```

pub mod compare;
pub mod detector;
pub mod fuse;
pub mod ground;
pub mod mounted;
pub mod program;
