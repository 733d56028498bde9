//! Laws of layered file systems, held against anything that stacks layers, on a real kernel.
//!
//! ```text
//! what is held       subjects/ (overlays, our drivers, a plain directory) on a backing, by a machine
//! against what       laws/, one file each (private: what overlayfs's own attributes may say)
//! a case             generate/ draws steps; case does them for real (perform, race, readdir) and in the model;
//!                    tree/ reads what is there and compares it, tar what a layer's tar has
//! by hand            situations/, what no step is: locks, mappings, full disks, crowds, mounts that are refused;
//!                    contract/, what every storage driver promises, one call at a time
//! many cases         campaign, counts, shard; enter gives them namespaces; requirement says what must not be skipped;
//!                    kernel_log listens to the kernel meanwhile
//! when a law breaks  shrink and simplify make the case short; verdict tells it, with its scene, mount_line, listing and
//!                    what is known; counterexample keeps it, as JSON, as a script, and as a page (page, console); again runs it first
//! many machines      results: what came of each law, a line each; report puts those of many runs together
//! the same, smaller  sim: the model alone; stores/: images rather than trees; received/: layers that others made
//! what others ship   finding: a page about what a tool gets wrong, run apart from everything (alone)
//! commands           status is what they end with; main.rs is layerlab-laws (list is its --list, table its --table), bin/
//! ```
//!
//! To read it in one go: `subjects/mod.rs`, `laws/mod.rs`, one law, `case.rs`, `campaign.rs`.

pub mod again;
pub mod alone;
pub mod backing;
pub mod campaign;
pub mod case;
pub mod console;
pub mod contract;
pub mod counterexample;
mod counts;
pub mod deviations;
pub mod enter;
pub mod finding;
pub mod generate;
mod handle;
pub mod kernel_log;
pub mod known;
pub mod laws;
pub mod list;
pub mod listing;
pub mod machine;
mod mapping;
mod mount_line;
mod notes;
pub mod overlayfs;
pub mod pace;
pub mod page;
pub mod perform;
mod place;
pub mod private;
pub mod race;
pub mod readdir;
pub mod received;
pub mod report;
pub mod requirement;
pub mod results;
pub mod scene;
pub mod shard;
pub mod shrink;
pub mod sim;
pub mod simplify;
pub mod situations;
pub mod status;
pub mod stores;
pub mod subjects;
pub mod table;
pub mod tar;
pub mod tree;
pub mod verdict;
pub mod version;
