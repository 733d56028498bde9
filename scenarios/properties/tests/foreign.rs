//! Storage that others make is held against the laws, and what it keeps it keeps here, too; what it breaks is no fault of ours (`scenarios/cases/findings`).

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::process::Command;

use layerlab_scenarios::skip::skip;

/// The exit status that means "this host cannot".
const SKIPPED: i32 = 77;

/// What containers-storage, containerd, dockerd and umoci keep with drivers that stack layers. What containers-storage makes of a layer's tar, and tells of its changes, is otherwise than ours;
/// containerd's command tells no changes, and makes no layer of a tar; of dockerd's layers a directory is looked at, and its tars have more.
const OF_TREES: &[&str] = &[
    "copy-up-keeps-every-attribute",
    "inode-numbers-are-as-promised",
    "merged-view-equals-the-model",
    "readdir-says-what-lookup-says",
    "refused-steps-change-nothing",
    "remount-changes-nothing",
];

/// Of these nothing is to judge where a layer is a snapshot: it copies nothing up, and is no mount of its own.
const OF_MOUNTS: [&str; 2] = ["copy-up-keeps-every-attribute", "remount-changes-nothing"];

fn without_mounts() -> Vec<&'static str> {
    OF_TREES.iter().copied().filter(|law| !OF_MOUNTS.contains(law)).collect()
}

const CASES: u64 = 40;
/// A daemon begins with each case, and takes its time.
const CASES_OF_CONTAINERD: u64 = 24;
const CASES_OF_DOCKERD: u64 = 6;
/// The 27th meets what `umoci-deletes-behind-a-link-that-replaced-a-directory` tells.
const CASES_OF_UMOCI: u64 = 24;

/// Holds `subject` against `laws`, all where there are none, of which those that are `required` must have something to judge.
fn holds(subject: &str, backing: &str, laws: &[&str], required: &[&str], wanting: &str) {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "what stacks layers mounts");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    command.args(laws).args(["--subject", subject, "--backing", backing, "--seed", "1"]);
    let cases = match subject.split('-').next() {
        Some("containerd") => CASES_OF_CONTAINERD,
        Some("dockerd") => CASES_OF_DOCKERD,
        Some("umoci") => CASES_OF_UMOCI,
        _ => CASES,
    };
    command.args(["--cases", &cases.to_string()]);
    command.args(["--require", &required.join(",")]);
    let output = command.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.code() == Some(SKIPPED) {
        return skip(wanting, &text);
    }
    assert!(output.status.success(), "{text}");
}

#[test]
fn trees_of_containers_storage_are_overlays() {
    holds("containers-storage-overlay", "tmpfs", OF_TREES, OF_TREES, "containers-storage");
}

#[test]
fn trees_of_containers_storage_by_fuse_overlayfs_are_its() {
    holds("containers-storage-fuse-overlayfs", "tmpfs", OF_TREES, OF_TREES, "fuse-overlayfs");
}

#[test]
fn trees_of_containers_storage_on_btrfs_are_snapshots() {
    let laws = without_mounts();
    holds("containers-storage-btrfs", "btrfs", &laws, &laws, "btrfs");
}

#[test]
fn trees_of_containerd_are_overlays() {
    holds("containerd-overlayfs", "tmpfs", OF_TREES, OF_TREES, "containerd");
}

#[test]
fn trees_of_containerd_by_its_snapshotter_native_are_copies() {
    let laws = without_mounts();
    holds("containerd-native", "tmpfs", &laws, &laws, "containerd");
}

#[test]
fn trees_of_containerd_on_btrfs_are_snapshots() {
    let laws = without_mounts();
    holds("containerd-btrfs", "btrfs", &laws, &laws, "btrfs");
}

#[test]
fn trees_of_dockerds_containers_are_overlays() {
    holds("dockerd-overlay2", "tmpfs", OF_TREES, OF_TREES, "docker");
}

#[test]
fn trees_of_umoci_are_what_was_packed() {
    let laws = without_mounts();
    holds("umoci", "tmpfs", &laws, &laws, "umoci");
}

#[test]
fn a_tree_of_fuse_overlayfs_alone_is_as_in_our_driver() {
    holds("fuse-overlayfs", "tmpfs", &[], OF_TREES, "fuse-overlayfs");
}
