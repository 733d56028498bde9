//! `cargo xtask shell`: a shell in a fresh lab, or in one that was kept.

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "shell",
    summary: "open a shell, or run a command, in a fresh lab: [--on TARGET] [--join PID] [COMMAND…]",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::build()?;
    call::status(call::lab()?.arg("shell").args(arguments))
}
