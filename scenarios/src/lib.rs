//! Executable walkthroughs, the lab they run in, and the images they pull.
//!
//! Nothing here knows the engine: a page speaks to a command line, so that docker and this engine are equals.

pub mod books;
pub mod guest;
pub mod html;
pub mod image;
pub mod interop;
pub mod lab;
pub mod listing;
pub mod matcher;
pub mod moment;
pub mod package;
pub mod page;
pub mod pages;
pub mod registry;
pub mod replay;
pub mod skip;
pub mod target;
pub mod terminal;
