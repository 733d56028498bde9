//! `cargo xtask test`: every test of the workspace.

use crate::{Verb, call};

pub const VERB: Verb =
    Verb {
        name: "test", summary: "run every test; arguments go to cargo test (a part of a name, -p PACKAGE, …)", run
    };

/// The guest has a target directory of its own, so that its static build and the workspace's do not undo each other.
fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let mut cargo = call::cargo(&["test"]);
    if !arguments.iter().any(|argument| argument == "-p" || argument.starts_with("--package")) {
        cargo.args(["--workspace", "--exclude", "layerlab-guest"]);
    }
    call::status(cargo.args(arguments))
}
