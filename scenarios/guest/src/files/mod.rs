//! Tools on files and directories, in GNU coreutils' words.

pub mod change;
pub mod copy;
pub mod create;
pub mod find;
pub mod list;
pub mod mode;
pub mod remove;
pub mod space;
pub mod status;
