//! `cargo xtask interop`: our engine and a dockerd take turns on one data root.

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "interop",
    summary: "let our engine and a dockerd take turns on one data root: [--seed N] [--seeds COUNT] [--turns N] [--acts N] [--driver NAME,…] [--plant FAULT] [--require docker]",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::build()?;
    call::status(call::lab()?.arg("interop").args(arguments))
}
