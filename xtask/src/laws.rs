//! `cargo xtask laws`: holds subjects against the laws of layered file systems.

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "laws",
    summary: "hold storage drivers against the laws: [LAW…] [--subject S,…] [--backing tmpfs|ext4|xfs|btrfs|DIR,…] [--cases N | --minutes M] [--seed S] [--shard I/N] [--rootless] [--require WORD,…] [--limit SECONDS] [--counts] | --list | --table [--cases N]",
    run,
};

/// What came of every law with every subject, below the root of the workspace.
const TABLE: &str = "snapshots/laws.md";

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let table = call::root().join(TABLE);
    let mut laws = call::of_properties("layerlab-laws")?;
    for argument in arguments {
        laws.arg(argument);
        if argument == "--table" {
            laws.arg(&table);
        }
    }
    call::status(&mut laws)
}
