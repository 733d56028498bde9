//! Dockerfiles: what they say, and what an instruction does to an image's settings.
//!
//! *Why*: `docker build` and `docker commit --change` must agree on what `ENV A="b c"` means. *Holds*: the grammar is that of
//! the crate `parse-dockerfile`; words, variables and Docker's refusals are ours. *Never*: disk, containers, layers.
//! *Proved by*: the tests of each file and `scenarios/cases/build/`.

pub mod duration;
mod empty;
mod parse;
mod refusal;
pub mod setting;
pub mod words;

pub use parse::{Command, Dockerfile, Instruction, Step, Transfer, parse, parse_one};
pub use setting::Setting;
