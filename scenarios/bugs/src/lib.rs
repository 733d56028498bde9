//! Real bugs of container storage, each seeded in one place of what is right otherwise, and which detector sees which.
//!
//! ```text
//! a bug              bug (the seams), catalogue/, one file each
//! what it is in      seeded: a mount, a driver, or a store that does everything through the bug
//! who looks for it   hunt: every law at once, none of which knows a bug
//! who saw what       matrix
//! for others' suites outward: a mount through FUSE
//! command            main.rs is layerlab-bugs
//! ```

pub mod bug;
pub mod catalogue;
pub mod hunt;
pub mod matrix;
pub mod outward;
pub mod seeded;
pub mod tars;
