//! Tools on processes, users, mounts, terminals and the clock.

pub mod identity;
pub mod mounts;
pub mod process;
pub mod ps;
pub mod terminal;
pub mod test;
