//! The docker-compatible command line: one file per verb.

pub mod progress;
