//! `cargo xtask laws`: holds subjects against the laws of layered file systems.

use std::process::Command;

use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "laws",
    summary: "hold storage drivers against the laws: [LAW…] [--subject S,…] [--backing tmpfs|ext4|xfs|btrfs|DIR,…] [--cases N | --minutes M] [--seed S] [--shard I/N] [--rootless] [--require WORD,…] [--counts]",
    run,
};

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    call::succeed(&mut call::cargo(&["build", "--package", "layerlab-properties", "--bins"]))?;
    call::status(Command::new(call::built("layerlab-laws")?).args(arguments))
}
