//! What every storage driver promises, each promise once, asked of any driver that can be opened on an empty directory.
//!
//! *Why*: laws see what comes of many calls; that a removal can be repeated, or that a size is what it says, is one call's affair. *Holds*: a
//! promise is a function of a [`Scene`] and knows no driver but by what that declares. *Never*: a driver's own files, but where they are promised.
//! *Proved by*: `engine/tests/contract`, which asks every driver on every file system, and the bugs of `scenarios/bugs` that break one.

#![allow(clippy::unwrap_used, reason = "a promise ends at the first surprise: whoever asks catches it")]

mod canonical;
mod changes;
mod defaults;
mod drawn;
mod faults;
mod links;
mod marks;
mod mounts;
mod promises;
mod scene;

pub use mounts::mounts_below;
pub use promises::{ALL, Promise};
pub use scene::{Open, Scene};
