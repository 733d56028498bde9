//! Every subject keeps every law, on every file system that this machine can have, as root and in a user namespace.
//!
//! A small campaign from a fixed seed; `cargo xtask laws --minutes 10` goes on from a fresh one.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::process::{Command, Output};

use layerlab_properties::subjects;
use layerlab_scenarios::skip::skip;

/// The exit status that means "this host cannot".
const SKIPPED: i32 = 77;

fn laws(options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    command.args(["--seed", "1"]).args(options).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn hold(wanting: &str, options: &[&str]) {
    let names: Vec<String> = subjects::all().iter().map(|subject| subject.name()).collect();
    let cases: &[&str] = if options.contains(&"--cases") { &[] } else { &["--cases", "120"] };
    let output = laws(&[&["--subject", &names.join(",")], cases, options].concat());
    match output.status.code() {
        Some(SKIPPED) => skip(wanting, text(&output).lines().next().unwrap_or_default()),
        code => assert_eq!(code, Some(0), "{}", text(&output)),
    }
}

/// Checklist: MN-06~, MN-07~
#[test]
fn every_law_holds_in_memory() {
    hold("user", &["--backing", "tmpfs"]);
}

/// Checklist: XA-09, PM-08, US-03, US-04~, N-26
#[test]
fn every_law_holds_in_a_user_namespace() {
    hold("user", &["--backing", "tmpfs", "--rootless"]);
}

#[test]
fn every_law_holds_on_ext4() {
    hold("ext4", &["--backing", "ext4"]);
}

#[test]
fn every_law_holds_on_xfs() {
    hold("xfs", &["--backing", "xfs"]);
}

#[test]
fn every_law_holds_on_btrfs() {
    hold("btrfs", &["--backing", "btrfs"]);
}

#[test]
fn stacks_of_every_depth_show_every_layer() {
    hold("user", &["deep-stacks-show-every-layer", "--cases", "6"]);
}

#[test]
fn what_is_not_there_is_named() {
    for (options, named) in [
        (["--subject", "nosuch"], "layerlab-overlay2"),
        (["--backing", "nosuch"], "tmpfs, ext4, xfs, btrfs"),
        (["nosuchlaw", "--steps=1"], "merged-view-equals-the-model"),
    ] {
        let output = laws(&options);
        assert!(!output.status.success() && text(&output).contains(named), "{}", text(&output));
    }
}
