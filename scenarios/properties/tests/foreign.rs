//! Storage that others make is held against the laws, and where it keeps one it keeps it here, too; what it breaks is no fault of ours.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::process::Command;

use layerlab_scenarios::skip::skip;

/// The exit status that means "this host cannot".
const SKIPPED: i32 = 77;

/// What containers-storage keeps with its driver overlay. What it makes of a layer's tar, and tells of its changes, is otherwise than ours: a directory that took the
/// place of something is told as deleted, and a time before 1970 becomes 1970.
const KEPT: [&str; 6] = [
    "copy-up-keeps-every-attribute",
    "inode-numbers-are-as-promised",
    "merged-view-equals-the-model",
    "readdir-says-what-lookup-says",
    "refused-steps-change-nothing",
    "remount-changes-nothing",
];

#[test]
fn a_tree_of_containers_storage_is_one_of_overlayfs() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "containers-storage mounts");
    }
    let mut laws = Command::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    laws.args(KEPT).args(["--subject", "containers-storage-overlay", "--seed", "1", "--cases", "60"]);
    let output = laws.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(SKIPPED) {
        return skip("containers-storage", &text);
    }
    assert!(output.status.success(), "{text}");
    assert!(text.contains("every law held"), "each has something to judge: {text}");
}
