//! Every workload works with everything that is here, and the report tells of it: as small as can be, so that no benchmark rots.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use layerlab_benches::counts::{Counts, HELPER};
use layerlab_benches::peers::{KINDS, OURS};
use layerlab_benches::results::Results;
use layerlab_benches::workloads;
use layerlab_scenarios::skip::skip;

/// What a skip of a peer says is wanting; `None`: no test machine has it.
const WANTING: [(&str, Option<&str>); 9] = [
    ("layerlab-vfs", Some("root")),
    ("layerlab-fuse-overlayfs", Some("fuse-overlayfs")),
    ("docker", Some("docker")),
    ("podman", Some("podman")),
    ("containerd", Some("containerd")),
    ("skopeo+umoci", Some("umoci")),
    ("runc", Some("docker")),
    ("crun", None),
    ("floor", Some("root")),
];

/// The engine, built beside our own programs: cargo builds those of this package only.
fn engine() -> PathBuf {
    let bench = Path::new(env!("CARGO_BIN_EXE_layerlab-bench"));
    let (profile, target) = (bench.parent().unwrap(), bench.ancestors().nth(2).unwrap());
    // Whoever built all programs does not want them replaced while others use them.
    if env::var_os("LAYERLAB_BUILT").is_none() {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["build", "--quiet", "--package", "layerlab-engine", "--bin", "layerlab", "--target-dir"])
            .arg(target)
            .status();
        assert!(built.unwrap().success());
    }
    profile.join("layerlab")
}

fn bench(arguments: &[&str]) -> Output {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_layerlab-bench"));
    bench.args(arguments).env("LAYERLAB_ENGINE", engine()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn every_workload_is_done_by_all_that_are_here_and_told_of() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name).display().to_string();
    let output = bench(&[
        "--tiny",
        "--json",
        &at("json"),
        "--markdown",
        &at("md"),
        "--html",
        &at("html"),
        "--keep",
        &at("keep"),
        "--baseline",
        "b",
    ]);
    assert!(output.status.success(), "{}", said(&output));
    let results = Results::read(Path::new(&at("json"))).unwrap();
    for workload in &workloads::ALL {
        let who: Vec<&str> = results
            .figures
            .iter()
            .filter(|figure| figure.workload == workload.name)
            .map(|figure| figure.peer.as_str())
            .collect();
        assert!(who.contains(&OURS), "{} was done by {who:?}", workload.name);
    }
    for kind in &KINDS {
        let reason = results.skipped.iter().find(|reason| reason.starts_with(&format!("{}:", kind.name)));
        let is_measured = results
            .figures
            .iter()
            .any(|figure| figure.peer == kind.name && figure.seconds.iter().all(|seconds| *seconds > 0.0));
        match reason {
            None => assert!(is_measured, "{} was begun and did nothing", kind.name),
            Some(reason) => match WANTING.iter().find(|(name, _)| *name == kind.name) {
                Some((_, Some(wanting))) => skip(wanting, reason),
                Some((_, None)) => layerlab_scenarios::skip::leave_out(reason),
                None => panic!("{reason}"),
            },
        }
    }
    let counted = results.figure("pull", 1, OURS).unwrap().counts.unwrap();
    assert!(counted.read_bytes > 0 && counted.written_bytes > 100_000 && counted.peak_bytes > 1 << 20, "{counted:?}");

    let (markdown, html) = (fs::read_to_string(at("md")).unwrap(), fs::read_to_string(at("html")).unwrap());
    for workload in &workloads::ALL {
        assert!(
            markdown.contains(workload.question) && html.contains(&format!("<h2 id=\"{}", workload.name)),
            "{}",
            workload.name
        );
    }

    // The same figures again: nothing became slower.
    let again = bench(&["--from", &at("json"), "--keep", &at("keep"), "--baseline", "b", "--gate"]);
    assert!(again.status.success() && said(&again).contains("as before"), "{}", said(&again));
    let mut slower = results;
    slower
        .figures
        .iter_mut()
        .filter(|figure| figure.peer == OURS)
        .for_each(|figure| figure.seconds.iter_mut().for_each(|seconds| *seconds *= 2.0));
    slower.write(Path::new(&at("slower"))).unwrap();
    let gated = bench(&["--from", &at("slower"), "--keep", &at("keep"), "--baseline", "b", "--gate"]);
    assert!(gated.status.code() == Some(1) && said(&gated).contains("slower"), "{}", said(&gated));
}

#[test]
fn what_is_not_there_is_named() {
    let cases: [(&[&str], &str); 3] = [
        (&["--tiny", "fly"], "there is no workload fly"),
        (&["--tiny", "--peer", "rkt"], "there is no peer rkt"),
        (&["--from", "/no/such/file"], "cannot read /no/such/file"),
    ];
    for (arguments, told) in cases {
        let output = bench(arguments);
        assert!(!output.status.success() && said(&output).contains(told), "{}", said(&output));
    }
}

/// What `layerlab-bench counted` says of a script.
fn counted(script: &str) -> Counts {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut helper = Command::new(env!("CARGO_BIN_EXE_layerlab-bench"));
    assert!(helper.arg(HELPER).arg(file.path()).args(["sh", "-c", script]).output().unwrap().status.success());
    serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap()
}

#[test]
fn what_is_written_and_occupied_is_counted_with_what_was_started_and_not_with_us() {
    // What we occupied once is no figure of theirs.
    let large = vec![1_u8; 200 << 20];
    let (few, many) = (counted("echo x"), counted("head -c 1000000 /dev/zero | cat > /dev/null"));
    assert!(large.iter().all(|byte| *byte == 1));
    assert!(few.written_bytes < 10_000 && many.written_bytes >= 2_000_000, "{few:?} {many:?}");
    assert!((100_000..50_000_000).contains(&few.peak_bytes), "{few:?}");
}
