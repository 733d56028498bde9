//! `cargo xtask sim`: checks the algebra of layers on the model alone.

use std::process::Command;

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "sim",
    summary: "check the algebra of layers on the model alone, without root or kernel: [--cases N] [--steps N] [--seed S] [--counts]",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::succeed(&mut call::cargo(&["build", "--package", "layerlab-properties", "--bins"]))?;
    call::status(Command::new(call::built("layerlab-sim")?).args(arguments))
}
