//! `cargo xtask fmt`: formats the sources, or with --check says what is not formatted.

use crate::{Verb, call};

pub const VERB: Verb = Verb { name: "fmt", summary: "format every source file, or only --check", run };

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::status(call::cargo(&["fmt", "--all"]).args(arguments))
}
