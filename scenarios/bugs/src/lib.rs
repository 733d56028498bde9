//! Real bugs of container storage, each seeded in one place of what is right otherwise, and which detector sees which.
//!
//! ```text
//! a bug              bug (the seams), catalogue/, one file each; tars and trees help
//! which there are    reported: each id is seeded, or there is a reason
//! what it is in      seeded: a mount, a driver, or a store that does everything through the bug
//! who looks for it   hunt: every law at once, none of which knows a bug; asked: promises of the drivers' contract, and situations;
//!                    pages: replayed on an engine that has the bug
//! who saw what       matrix
//! for others' suites outward: a mount through FUSE, a driver that answers on its command line
//! commands           main.rs is layerlab-bugs, bin/layerlab-driver.rs that driver,
//!                    bin/layerlab-seeded.rs an engine with a bug
//! ```
//!
//! A bug of somebody's own, in a crate of their own, is asked about by one call:
//!
//! ```
//! use layerlab_bugs::bug::{Bug, Mounted};
//! use layerlab_bugs::hunt::{Effort, seen_by};
//! use layerlab_model::errno::Errno;
//! use layerlab_model::operation::{Answer, Operation, Step};
//!
//! /// Nobody gets the set-user-ID bit.
//! struct ModesLoseABit;
//!
//! impl Bug for ModesLoseABit {
//!     fn step(&self, step: &Step, mounted: &mut Mounted<'_>) -> Result<Answer, Errno> {
//!         let Operation::Chmod { target, mode } = &step.operation else { return mounted.pass(step) };
//!         mounted.instead(step, Operation::Chmod { target: target.clone(), mode: mode & !0o4000 })
//!     }
//! }
//!
//! # if !rustix::process::geteuid().is_root() {
//! #     layerlab_scenarios::skip::skip("root", "bugs are seeded in what only root can mount");
//! #     return Ok(());
//! # }
//! let kills = seen_by("modes-lose-a-bit", &ModesLoseABit, Effort::default())?;
//! assert_eq!(kills[0].detector, "merged-view-equals-the-model");
//! assert!(kills[0].steps.len() <= 4, "{}", kills[0]);
//! # anyhow::Ok(())
//! ```

pub mod asked;
pub mod bug;
pub mod catalogue;
pub mod hunt;
pub mod matrix;
pub mod outward;
pub mod pages;
pub mod reported;
pub mod seeded;
pub mod tars;
pub mod trees;
