//! `cargo xtask bugs`: looks for each seeded bug with every detector, and says who sees what.

use std::process::Command;

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "bugs",
    summary: "look for seeded bugs with every law: [BUG…] [--cases N] [--seed S] [--seeds N] [--first] [--steps] [--write FILE] | --detector PROGRAM [BUG…] [--limit SECONDS] | --list",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::succeed(&mut call::cargo(&["build", "--package", "layerlab-bugs", "--bins"]))?;
    call::status(Command::new(call::built("layerlab-bugs")?).args(arguments))
}
