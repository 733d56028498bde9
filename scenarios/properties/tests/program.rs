//! A driver that is a program of its own is held against the laws: one in forty lines of shell keeps them, one made wrong in a line does not, and what cannot be
//! asked is told.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use layerlab_scenarios::skip::skip;

const DRIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/overlay.sh");

/// The exit status that means "this host cannot".
const SKIPPED: i32 = 77;
/// And that there is no verdict.
const CANNOT: i32 = 2;

fn laws(program: &Path, options: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    command.arg("--subject").arg(program).args(["--seed", "1"]).args(options).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn can() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("root", "the driver in shell mounts");
    }
    is_root
}

/// The driver in shell, with one thing in it that is other.
fn changed(within: &Path, from: &str, to: &str) -> PathBuf {
    let text = fs::read_to_string(DRIVER).unwrap();
    assert!(text.contains(from), "{from} is not in it");
    let path = within.join("driver");
    fs::write(&path, text.replace(from, to)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_driver_in_forty_lines_of_shell_keeps_the_laws() {
    if !can() {
        return;
    }
    for backing in ["tmpfs", "ext4"] {
        let output = laws(Path::new(DRIVER), &["--cases", "40", "--backing", backing]);
        let text = text(&output);
        if output.status.code() == Some(SKIPPED) {
            skip(backing, &text);
            continue;
        }
        assert!(output.status.success(), "{text}");
        for law in ["merged-view-equals-the-model", "remount-changes-nothing", "deep-stacks-show-every-layer"] {
            assert!(!text.contains(&format!("skipped {law}")), "{law} is about it, too: {text}");
        }
    }
}

#[test]
fn deep_stacks_are_the_programs_too() {
    if !can() {
        return;
    }
    let output = laws(Path::new(DRIVER), &["deep-stacks-show-every-layer", "--cases", "3"]);
    assert!(output.status.success() && text(&output).contains("every law held"), "{}", text(&output));
}

#[test]
fn a_driver_that_is_wrong_in_one_line_is_caught_and_its_script_asks_it() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // The lowest layer is forgotten where there are three.
    let driver =
        changed(place.path(), "while [ \"$below\" ]; do", "while [ \"$(cat \"${below:-none}/parent\" 2>&-)\" ]; do");
    let output = laws(&driver, &["--cases", "40"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let script = text.lines().find_map(|line| line.strip_prefix("without this code: ")).unwrap();
    let shown = Command::new(script).output().unwrap();
    assert!(
        shown.status.success(),
        "{}{}",
        String::from_utf8_lossy(&shown.stdout),
        String::from_utf8_lossy(&shown.stderr)
    );
    let script_text = fs::read_to_string(script).unwrap();
    assert!(script_text.contains(&format!("program='{}'", driver.display())), "{script_text}");
    fs::remove_dir_all(Path::new(script).parent().unwrap()).unwrap();
}

#[test]
fn what_a_program_cannot_be_asked_is_told() {
    let place = tempfile::tempdir().unwrap();
    for (from, to, status, said) in [
        (
            "root_is_inherited",
            "roots_are_inherited",
            CANNOT,
            "there is no promise roots_are_inherited; there are layers, ",
        ),
        ("\"overlay\"", "\"nothing\"", CANNOT, "there is no subject \"nothing\" that it could be like"),
        ("echo '{", "echo '", CANNOT, "promises: "),
        (
            "for layer in */parent",
            "for layer in one/parent",
            1,
            "list: it says [\"one\"], there are [\"one\", \"two\"]",
        ),
        ("    create)\n", "    create)\n        echo 'no disk' >&2; exit 77\n", SKIPPED, "no disk"),
    ] {
        let output = laws(&changed(place.path(), from, to), &[]);
        assert_eq!(output.status.code(), Some(status), "{}", text(&output));
        assert!(text(&output).contains(said), "{said:?} is to be said: {}", text(&output));
    }
    let output = laws(&place.path().join("nosuch"), &[]);
    assert_eq!(output.status.code(), Some(CANNOT));
    assert!(text(&output).contains("cannot start the driver") && text(&output).contains("nosuch"), "{}", text(&output));
}
