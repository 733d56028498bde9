//! `cargo xtask fmt`: formats the sources, or with --check says what is not formatted.

use std::path::PathBuf;

use crate::{Verb, call};

pub const VERB: Verb = Verb { name: "fmt", summary: "format every source file, or only --check", run };

/// Modules that a macro lists, which rustfmt does not follow.
const LISTED_BY_A_MACRO: &str = "scenarios/bugs/src/catalogue";

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let entries = std::fs::read_dir(call::root().join(LISTED_BY_A_MACRO))?;
    let listed = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    call::status(call::cargo(&["fmt", "--all"]).args(arguments).arg("--").args(listed))
}
