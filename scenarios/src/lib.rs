//! Executable walkthroughs, the lab they run in, and the images they pull.

pub mod guest;
