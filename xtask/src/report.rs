//! `cargo xtask report`: puts together what the laws found on many machines.

use std::process::Command;

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "report",
    summary: "put together what `cargo xtask laws --results FILE` wrote, here or on other machines, and findings: FILE… [--markdown FILE] [--html FILE] [--junit FILE]",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::succeed(&mut call::cargo(&["build", "--package", "layerlab-properties", "--bins"]))?;
    call::status(Command::new(call::built("layerlab-report")?).args(arguments))
}
