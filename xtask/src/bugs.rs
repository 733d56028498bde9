//! `cargo xtask bugs`: looks for each seeded bug with every detector, and says who sees what.

use std::process::Command;

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "bugs",
    summary: "look for seeded bugs with every detector: [BUG…] [--pages] [--cases N] [--seed S] [--seeds N] [--patience N] [--first] [--steps] [--write | --check] | --detector PROGRAM [BUG…] [--limit SECONDS] | --list",
    run,
};

/// Which detector sees which bug, below the root of the workspace.
pub const MATRIX: &str = "snapshots/kill-matrix.md";

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::succeed(&mut call::cargo(&["build", "--package", "layerlab-bugs", "--bins"]))?;
    if arguments.iter().any(|argument| argument == "--pages") {
        call::build()?;
    }
    let matrix = call::root().join(MATRIX);
    let mut bugs = Command::new(call::built("layerlab-bugs")?);
    for argument in arguments {
        bugs.arg(argument);
        if ["--write", "--check"].contains(&argument.as_str()) {
            bugs.arg(&matrix);
        }
    }
    call::status(&mut bugs)
}
