//! `cargo xtask laws`: holds subjects against the laws of layered file systems.

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "laws",
    summary: "hold storage drivers against the laws: [LAW…] [--subject S,…] [--backing tmpfs|ext4|xfs|btrfs|DIR,…] [--cases N | --minutes M] [--seed S] [--shard I/N] [--rootless] [--require WORD,…] [--limit SECONDS] [--results FILE] [--counts] | --all --minutes M [--write] | --list | --table [--cases N]",
    run,
};

/// What came of every law with every subject, below the root of the workspace.
const TABLE: &str = "snapshots/laws.md";
/// What came of `--all`, likewise.
const BOARD: &str = "snapshots/behaviour.md";

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    let mut laws = call::of_properties("layerlab-laws")?;
    for argument in arguments {
        match argument.as_str() {
            "--table" => laws.arg(argument).arg(call::root().join(TABLE)),
            "--write" => laws.arg("--board").arg(call::root().join(BOARD)),
            _ => laws.arg(argument),
        };
    }
    call::become_it(&mut laws)
}
