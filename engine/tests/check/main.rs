//! `layerlab check` finds each fault that is planted in a store, and none in a sound one, with every driver.
//!
//! Checklist: CR-05

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod by_hand;
mod cut_off;
mod damage;
mod doubts;
mod faults;
mod healthy;
mod house;
mod meanwhile;
mod passed_over;
mod power;
mod read_only;
mod repairs;
