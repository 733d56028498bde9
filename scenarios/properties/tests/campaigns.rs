//! Every subject keeps every law, on every file system that this machine can have, as root and in a user namespace.
//!
//! A small campaign from a fixed seed; `cargo xtask laws --minutes 10` goes on from a fresh one.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::process::{Command, Output};

use layerlab_properties::requirement::KERNEL_LOG;
use layerlab_properties::{stores, subjects};
use layerlab_scenarios::skip::{leave_out, skip};

/// Only root of the first user namespace can have these.
const ROOTS: [&str; 7] = [
    "overlay-redirect",
    "overlay-userxattr",
    "overlay-index",
    "overlay-metacopy",
    "overlay-redirect-index",
    "overlay-nfs-export",
    "overlay-data-only",
];

/// What only root of the first user namespace can arrange.
const ROOTS_SITUATIONS: [&str; 4] = [
    "file-attributes-are-kept-and-enforced",
    "file-attributes-come-up-with-their-file",
    "erofs-images-are-lower-layers",
    "squashfs-images-are-lower-layers",
];

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
    let all = subjects::all();
    let names: Vec<_> = all.iter().map(|subject| subject.name()).collect();
    hold_of(&names.join(","), wanting, &[&["--cases", "80"], options].concat());
    let stores: Vec<String> = stores::all().iter().map(|kind| kind.name()).collect();
    hold_of(&stores.join(","), wanting, &[&["--cases", "8"], options].concat());
}

fn hold_of(subjects: &str, wanting: &str, options: &[&str]) {
    let output = laws(&[&["--subject", subjects], options].concat());
    let text = text(&output);
    if output.status.code() == Some(SKIPPED) {
        return skip(wanting, text.lines().next().unwrap_or_default());
    }
    assert!(output.status.success(), "{text}");
    let (is_rootless, is_root) = (options.contains(&"--rootless"), rustix::process::geteuid().is_root());
    for line in text.lines().filter_map(|line| line.strip_prefix("skipped ")) {
        let (what, why) = line.split_once(": ").expect("a skip without a reason");
        let subject = what.split(" on ").next().unwrap_or_default();
        match subject.split_once(" of ") {
            Some((laws, subject)) => {
                for law in laws.split(", ").filter(|law| !has_nothing_for(law, subject)) {
                    let wanted = ["erofs", "squashfs"].into_iter().find(|kind| law.starts_with(kind));
                    match wanted {
                        _ if is_rootless && ROOTS_SITUATIONS.contains(&law) => {}
                        _ if !is_root && ROOTS_SITUATIONS.contains(&law) => skip("root", line),
                        Some(wanted) => skip(wanted, line),
                        None => panic!("{subject} gives {law} nothing to judge: {why}"),
                    }
                }
                leave_out(&format!("{laws}: {why}"));
            }
            None if subject == KERNEL_LOG && is_rootless => leave_out(line),
            None if subject == KERNEL_LOG => skip(KERNEL_LOG, line),
            None if ROOTS.contains(&subject) && is_rootless => leave_out(&format!("{subject}: {why}")),
            None if ROOTS.contains(&subject) && !is_root => skip("root", line),
            // The driver works on its own file system only.
            None if subject.ends_with("-btrfs") && wanting != "btrfs" => leave_out(&format!("{subject}: {why}")),
            None if subject.ends_with("-fuse-overlayfs") => skip("fuse-overlayfs", line),
            None if subject.contains("overlay") => skip("overlay", line),
            None => skip(wanting, line),
        }
    }
}

/// Whether `law` is about something that `subject` has not on any machine.
fn has_nothing_for(law: &str, subject: &str) -> bool {
    let is_whole = ["layerlab-vfs", "layerlab-btrfs"].contains(&subject);
    let has_tars = subject.starts_with("layerlab-");
    // What fuse-overlayfs keeps in its upper directory is its own affair, and a mount of its is no overlay of the kernel's.
    let is_program = subject == "layerlab-fuse-overlayfs";
    let is_overlay = subject.contains("overlay") && !is_program;
    let has_index = ["overlay-index", "overlay-redirect-index", "overlay-nfs-export"].contains(&subject);
    let is_data_only = subject == "overlay-data-only";
    match law {
        "holes-stay-holes"
        | "four-gibibytes-are-copied-up"
        | "file-attributes-are-kept-and-enforced"
        | "two-names-copied-up-at-once-are-one-file"
        | "a-crowd-leaves-a-sound-tree"
            if is_program =>
        {
            true
        }
        "applying-a-diff-gives-the-tree"
        | "changes-are-the-models"
        | "diffs-are-deterministic"
        | "every-driver-gives-the-same-tree"
        | "layer-tars-are-well-formed"
        | "looking-changes-nothing"
        | "the-uppers-diff-is-a-walking-diff"
        | "whiteouts-hide-something" => !has_tars,
        "copy-up-keeps-every-attribute" | "upper-holds-exactly-what-it-must" => !is_overlay,
        "remount-changes-nothing" => is_whole || subject == "plain",
        "lower-layers-never-change" => subject == "plain",
        "deep-stacks-show-every-layer" => subject == "plain" || subject == "layerlab-overlay",
        "a-full-disk-leaves-the-file-as-it-was" | "a-deletion-without-room-is-done-or-leaves-the-file" => !is_overlay,
        "file-handles-find-their-files" => subject != "overlay-nfs-export",
        "nonsense-in-private-attributes-does-no-harm" => !is_overlay || has_index,
        "two-names-copied-up-at-once-are-one-file" => is_overlay && !has_index,
        "an-upper-layer-is-not-mounted-twice" | "layers-of-another-stack-are-refused" => !has_index,
        "without-an-upper-layer-nothing-is-written"
        | "what-a-crash-left-in-the-work-directory-is-cleared"
        | "layers-within-one-another-are-refused"
        | "an-overlay-is-no-upper-layer"
        | "an-overlay-lies-on-an-overlay"
        | "a-file-system-has-an-identity-of-its-own"
        | "files-with-one-number-in-two-layers-are-two"
        | "private-attributes-are-well-formed"
        | "a-copied-copy-is-a-file-of-its-own"
        | "erofs-images-are-lower-layers"
        | "squashfs-images-are-lower-layers" => !is_overlay,
        "a-name-added-to-a-lower-layer-does-no-harm" | "file-attributes-come-up-with-their-file" => {
            !is_overlay || is_data_only
        }
        "private-attributes-of-an-inner-overlay-are-kept" => !is_overlay || subject == "layerlab-overlay",
        "whiteouts-of-attributes-hide" => !is_overlay || is_data_only || subject == "layerlab-overlay",
        _ => false,
    }
}

/// Checklist: MN-06~, MN-07~
#[test]
fn every_law_holds_in_memory() {
    hold("tmpfs", &["--backing", "tmpfs"]);
}

/// Checklist: XA-09, PM-08, US-03, US-04~, N-26~
#[test]
fn every_law_holds_in_a_user_namespace() {
    hold("user", &["--backing", "tmpfs", "--rootless"]);
}

#[test]
fn every_law_holds_in_a_user_namespace_on_other_file_systems() {
    hold_of(
        "plain,overlay,layerlab-overlay2,layerlab-vfs",
        "root",
        &["--backing", "ext4,xfs,btrfs", "--rootless", "--cases", "20"],
    );
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
    // As many cases as there are depths.
    let options = ["deep-stacks-show-every-layer", "--cases", "6"];
    hold_of("overlay,layerlab-overlay2,layerlab-vfs", "overlay", &options);
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

#[test]
fn all_shards_together_do_what_the_whole_does() {
    let counts = |options: &[&str]| {
        let output = laws(&[&["--subject", "plain", "--counts"], options].concat());
        assert!(output.status.success(), "{}", text(&output));
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        // What has a colon is no kind of step.
        for line in text(&output).lines().filter(|line| !line.contains(':')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            for outcome in words[2..].chunks(2) {
                let count: u64 = outcome[1].trim_end_matches(',').parse().unwrap();
                *counts.entry(format!("{} {}", words[0], outcome[0])).or_default() += count;
            }
        }
        counts
    };
    let mut sum: BTreeMap<String, u64> = BTreeMap::new();
    for shard in ["1/3", "2/3", "3/3"] {
        for (outcome, count) in counts(&["--shard", shard]) {
            *sum.entry(outcome).or_default() += count;
        }
    }
    assert!(!sum.is_empty());
    assert_eq!(sum, counts(&[]));
}

#[test]
fn every_kind_of_step_is_drawn_and_some_of_each_are_done() {
    // What an ordinary user may do least often is done in one of some hundred cases.
    let output = laws(&["--subject", "plain", "--cases", "400", "--counts"]);
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(!text.contains("never drawn: ") && !text.contains("never done: "), "{text}");
}

#[test]
fn a_law_that_has_nothing_to_judge_is_skipped_and_fails_where_it_is_required() {
    let whiteouts = ["whiteouts-hide-something", "--subject", "plain", "--cases", "10"];
    let skipped = laws(&whiteouts);
    let said = "skipped whiteouts-hide-something of plain on tmpfs: plain has no ";
    assert!(skipped.status.code() == Some(SKIPPED) && text(&skipped).contains(said), "{}", text(&skipped));
    let refused = laws(&[&whiteouts[..], &["--require", "whiteouts-hide-something"]].concat());
    let said = "whiteouts-hide-something is required, but";
    assert!(refused.status.code() == Some(2) && text(&refused).contains(said), "{}", text(&refused));
}

#[test]
fn a_skip_of_something_required_is_a_failure_that_names_it() {
    let rootless = ["--rootless", "--subject", "plain,overlay-redirect"];
    let skipped = laws(&rootless);
    assert!(skipped.status.success() && text(&skipped).contains("skipped overlay-redirect on tmpfs"));
    let refused = laws(&[&rootless[..], &["--require", "plain,overlay-redirect"]].concat());
    assert!(!refused.status.success() && text(&refused).contains("overlay-redirect is required"), "{}", text(&refused));
    let refused = laws(&[&rootless[..], &["--require", "root"]].concat());
    assert!(!refused.status.success() && text(&refused).contains("root is required"), "{}", text(&refused));
}

#[test]
fn what_there_is_is_listed() {
    let output = Command::new(env!("CARGO_BIN_EXE_layerlab-laws")).args(["--list", "--rootless"]).output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    let follows = |name: &str, rest: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.contains(rest)), "{name}: {text}");
    };
    follows("plain", "can run");
    follows("overlay-redirect", "root only");
    follows("tmpfs", "can be had");
    assert!(text.contains("\n  lower-layers-never-change\n      `lower layers after = lower layers before`"), "{text}");
}
