//! Layers on a real file system: Docker's recorded bytes, hostile tars, round trips and comparisons.
//!
//! What needs root says so on stderr and passes when it is not there.

// clippy.toml allows unwrap in test functions; the helpers beside them are tests too.
#![allow(clippy::unwrap_used)]

mod comparisons;
mod hostile_tars;
mod long_files;
mod noise;
mod owners;
mod recorded_layers;
mod round_trips;
mod scene;
mod sparse_files;
mod tar_splits;
mod unpacking;
