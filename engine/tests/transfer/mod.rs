//! The near ends of a transfer, for the tests of pulling and pushing: an image to push, a store to pull into.

#![allow(dead_code, reason = "each test binary uses the ends it needs")]

pub mod incompressible;
pub mod shelf;
pub mod store;
