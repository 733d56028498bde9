//! `cargo xtask test`: every test of the workspace.

use std::process::Command;

use crate::{Verb, call};

pub const VERB: Verb =
    Verb {
        name: "test", summary: "run every test; arguments go to cargo test (a part of a name, -p PACKAGE, …)", run
    };

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::status(&mut command(arguments))
}

/// The guest has a target directory of its own, so that its static build and the workspace's do not undo each other.
pub fn command(arguments: &[String]) -> Command {
    let mut cargo = call::cargo(&["test"]);
    if !arguments.iter().any(|argument| argument == "-p" || argument.starts_with("--package")) {
        cargo.args(["--workspace", "--exclude", "layerlab-guest"]);
    }
    cargo.args(arguments);
    cargo
}
