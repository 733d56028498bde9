//! `cargo xtask test`: every test of the workspace, and what was skipped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::Context;

use crate::{Verb, call};

pub const VERB: Verb =
    Verb {
        name: "test", summary: "run every test; arguments go to cargo test (a part of a name, -p PACKAGE, …)", run
    };

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    with(arguments, &[])
}

/// Runs the tests with these variables, and says at the end what they skipped.
pub fn with(arguments: &[String], variables: &[(&str, OsString)]) -> anyhow::Result<u8> {
    let skips = tempfile::NamedTempFile::new().context("cannot make a file for skips")?;
    // A test may run as another user.
    fs::set_permissions(skips.path(), fs::Permissions::from_mode(0o666))?;
    let variables = variables.iter().map(|(name, value)| (name, value));
    let status = call::status(command(arguments).envs(variables).env("LAYERLAB_SKIPS", skips.path()))?;
    print!("{}", told(&fs::read_to_string(skips.path()).context("cannot read the file of skips")?));
    Ok(status)
}

/// Each reason once with how often, then their number; nothing when nothing was skipped.
fn told(skips: &str) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for reason in skips.lines() {
        *reasons.entry(reason).or_default() += 1;
    }
    let mut text = String::new();
    for (reason, times) in &reasons {
        text += &format!("skipped {times} times: {reason}\n").replace(" 1 times", "");
    }
    match reasons.values().sum::<usize>() {
        0 => text,
        sum => text + &format!("{sum} skipped\n"),
    }
}

/// The guest has a target directory of its own, so that its static build and the workspace's do not undo each other.
fn command(arguments: &[String]) -> Command {
    let mut cargo = call::cargo(&["test"]);
    if !arguments.iter().any(|argument| argument == "-p" || argument.starts_with("--package")) {
        cargo.args(["--workspace", "--exclude", "layerlab-guest"]);
    }
    cargo.args(arguments);
    cargo
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn each_skip_is_told_once_and_all_are_counted() {
        assert_eq!(told(""), "");
        let text = told("no root\nno dockerd\nno root\n");
        assert_eq!(text, "skipped: no dockerd\nskipped 2 times: no root\n3 skipped\n");
    }
}
