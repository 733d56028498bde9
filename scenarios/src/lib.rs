//! Executable walkthroughs, the lab they run in, and the images they pull.

pub mod listing;
pub mod matcher;
pub mod page;
pub mod replay;
pub mod terminal;
