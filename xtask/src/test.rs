//! `cargo xtask test`: every test of the workspace, and what was skipped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::at_once::at_once;
use crate::{Verb, call};

pub const VERB: Verb = Verb {
    name: "test",
    summary: "run every test, as many programs of them at a time as there are cores; with arguments (a part of a name, -p PACKAGE, …) what cargo test makes of them",
    run,
};

/// The programs of tests that take longest begin first, so that none of them is alone at the end.
const LONGEST: [&str; 4] = ["in_lab", "campaigns", "through_fuse", "tiny"];

fn run(arguments: &[String]) -> anyhow::Result<u8> {
    if arguments.is_empty() {
        all(&[])
    } else {
        telling_skips(|skips| call::status(command(arguments).env(SKIPS, skips)))
    }
}

/// Runs all tests with these variables, also after one failed, and says at the end what they skipped.
pub fn all(variables: &[(&str, OsString)]) -> anyhow::Result<u8> {
    let mut commands = vec![("doc tests".to_owned(), command(&["--doc".into()]))];
    commands.extend(programs()?);
    commands.sort_by_key(|(name, _)| LONGEST.iter().position(|long| name.ends_with(long)).unwrap_or(LONGEST.len()));
    for long in LONGEST {
        ensure!(
            commands.iter().any(|(name, _)| name.ends_with(long)),
            "LONGEST names {long}, and no program of tests is called so"
        );
    }
    let lanes = thread::available_parallelism().map_or(1, usize::from);
    telling_skips(|skips| {
        for (_, command) in &mut commands {
            command.env(SKIPS, skips).env(BUILT, "").envs(variables.iter().map(|(name, value)| (name, value)));
        }
        let failed = at_once(lanes, commands);
        for name in &failed {
            println!("failed: {name}");
        }
        Ok(if failed.is_empty() { 0 } else { FAILED })
    })
}

/// What cargo says of a program that it built, of all that it says.
#[derive(Deserialize)]
struct Built {
    executable: PathBuf,
    manifest_path: PathBuf,
    profile: Profile,
    target: Target,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds all programs of tests; each with the name of its package and its own, in its package's directory, as cargo calls it.
fn programs() -> anyhow::Result<Vec<(String, Command)>> {
    let words = ["--no-run", "--message-format", "json-render-diagnostics"].map(str::to_owned);
    let output = command(&words).stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    ensure!(output.status.success(), "the tests cannot be built");
    let mut programs = Vec::new();
    for line in String::from_utf8(output.stdout)?.lines() {
        // Messages about anything else have no program.
        let Ok(built) = serde_json::from_str::<Built>(line) else { continue };
        if built.profile.test {
            let package = built.manifest_path.parent().context("a package without a directory")?;
            let mut program = Command::new(&built.executable);
            program.current_dir(package).env("CARGO_MANIFEST_DIR", package);
            let place = package.strip_prefix(call::root())?;
            programs.push((format!("{} {}", place.display(), built.target.name), program));
        }
    }
    ensure!(!programs.is_empty(), "cargo named no program of tests");
    Ok(programs)
}

/// The variable that names the file to which tests add what they skip.
const SKIPS: &str = "LAYERLAB_SKIPS";

/// The variable that says that all programs have been built, those of other packages too: a test that builds them itself would replace them
/// while another one runs them.
const BUILT: &str = "LAYERLAB_BUILT";

/// What cargo ends with when a test failed.
const FAILED: u8 = 101;

/// Runs tests, which write what they skip into the file given, and says at the end what that was.
fn telling_skips(run: impl FnOnce(&Path) -> anyhow::Result<u8>) -> anyhow::Result<u8> {
    let skips = tempfile::NamedTempFile::new().context("cannot make a file for skips")?;
    // A test may run as another user.
    fs::set_permissions(skips.path(), fs::Permissions::from_mode(0o666))?;
    let status = run(skips.path())?;
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
