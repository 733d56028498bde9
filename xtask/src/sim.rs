//! `cargo xtask sim`: checks the algebra of layers on the model alone.

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "sim",
    summary: "check the algebra of layers on the model alone, without root or kernel: [--cases N] [--steps N] [--seed S] [--counts]",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::status(call::of_properties("layerlab-sim")?.args(arguments))
}
