//! Our engine and a real dockerd take turns on one data root, and each is killed now and then; and what is spoilt between two turns is
//! noticed.
//!
//! Checklist: ID-03~, CR-01~, N-09~

use layerlab_scenarios::skip::skip;

use super::{SKIPPED, lab, text};

/// The output of a campaign and whether it went well; nothing where there is no dockerd.
fn campaign(arguments: &[&str]) -> Option<(bool, String)> {
    if !rustix::process::geteuid().is_root() {
        skip("docker", "a dockerd needs root");
        return None;
    }
    let output = lab().arg("interop").args(arguments).output().unwrap();
    if output.status.code() == Some(SKIPPED) {
        skip("docker", &text(&output));
        return None;
    }
    Some((output.status.success(), text(&output)))
}

#[test]
fn dockerd_and_we_take_turns_and_nothing_is_lost_left_over_or_changed() {
    if let Some((is_well, said)) = campaign(&["--seed", "108", "--turns", "10", "--acts", "6"]) {
        assert!(is_well, "{said}");
        for driver in ["overlay2", "overlay", "vfs"] {
            assert!(said.contains(&format!("{driver}: seed 108: 10 turns, 60 acts")), "{said}");
        }
        // The seed is one whose kills cut off both what only reads and what runs something.
        for kills in said.lines().filter_map(|line| line.split_once(" kills (")?.1.split(')').next()) {
            assert!(kills.contains("pull") && kills.contains("build"), "{said}");
        }
        // A kill reaches another point each time, and what is drawn after it is the same.
        let drawn: Vec<&str> =
            said.lines().filter_map(|line| line.trim().strip_prefix("drawn ")?.split(':').next()).collect();
        assert!(drawn.len() == 3 && drawn.iter().all(|digest| *digest == drawn[0]), "{said}");
    }
}

#[test]
fn what_is_spoilt_between_two_turns_is_noticed() {
    let cases = [
        ("overlay2", "changed-file", "etc/os-release"),
        ("vfs", "lost-file", "etc/os-release"),
        ("overlay", "lost-tar-split", "tar-split.json.gz"),
        ("overlay2", "wrong-size", "Size"),
        ("vfs", "orphan-directory", "directories of layers"),
        ("overlay2", "lost-names", "names of images"),
    ];
    for (driver, fault, told) in cases {
        let arguments = ["--driver", driver, "--seed", "5", "--turns", "1", "--acts", "3", "--plant", fault];
        let Some((is_well, said)) = campaign(&arguments) else { return };
        assert!(
            !is_well && said.contains("went wrong in turn 2") && said.contains(told),
            "{fault} on {driver}: {said}"
        );
        assert!(said.contains(&format!("cargo xtask interop --driver {driver} --seed 5")), "{said}");
    }
}
