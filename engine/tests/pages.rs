//! Every page replays on this engine, as root and as an ordinary user, and leaves the transcript and the trees it left
//! before; on a real dockerd where there is one.
//!
//! `LAYERLAB_REQUIRE=docker,root` makes a skip for want of one of these a failure.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The exit status that means "this host cannot".
const SKIPPED: i32 = 77;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The lab's program, built as this test was.
fn lab() -> Command {
    let engine = Path::new(env!("CARGO_BIN_EXE_layerlab"));
    let target = engine.ancestors().nth(2).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--package", "layerlab-scenarios", "--bin", "layerlab-lab", "--target-dir"])
        .arg(target)
        .current_dir(workspace())
        .status();
    assert!(built.unwrap().success(), "the lab does not build");
    let mut lab = Command::new(engine.with_file_name("layerlab-lab"));
    lab.env("LAYERLAB_ENGINE", engine).env_remove("DOCKER_HOST").current_dir(workspace());
    lab
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn is_required(what: &str) -> bool {
    std::env::var("LAYERLAB_REQUIRE").is_ok_and(|required| required.split(',').any(|other| other == what))
}

/// Replays everything; false when this host cannot, which is said.
fn replay(options: &[&str]) -> bool {
    let output = lab().arg("replay").args(options).output().unwrap();
    if output.status.code() == Some(SKIPPED) {
        eprintln!("skipped: {}", text(&output));
        return false;
    }
    assert!(output.status.success(), "{}", text(&output));
    true
}

#[test]
fn every_page_replays_and_leaves_what_it_left_before() {
    let directory = tempfile::tempdir().unwrap();
    replay(&["--record", directory.path().to_str().unwrap()]);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: the trees of an ordinary user have other marks; the snapshots are root's");
        assert!(!is_required("root"));
        return;
    }
    let mut records: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    records.sort();
    assert!(records.len() >= 2, "nothing was recorded");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(workspace().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for record in records {
            let name = record.file_name().unwrap().to_str().unwrap();
            insta::assert_snapshot!(name, fs::read_to_string(&record).unwrap());
        }
    });
}

#[test]
fn every_page_replays_for_an_ordinary_user() {
    replay(&["--rootless"]);
}

#[test]
fn every_page_replays_on_a_real_dockerd() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a dockerd needs root");
        assert!(!is_required("docker"));
        return;
    }
    let required: &[&str] = if is_required("docker") { &["--require", "docker"] } else { &[] };
    replay(&[&["--on", "docker"], required].concat());
}
