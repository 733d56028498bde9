//! `cargo xtask lint`: clippy over everything, where a warning is an error.

use crate::{Verb, call};

pub const VERB: Verb = Verb { name: "lint", summary: "run clippy over everything; a warning is an error", run };

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let mut cargo = call::cargo(&["clippy", "--workspace", "--all-targets"]);
    call::status(cargo.args(arguments).args(["--", "-D", "warnings"]))
}
