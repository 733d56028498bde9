//! A driver that is a program of its own is held against the laws: one in forty lines of shell keeps them, one made wrong in a line does not, and what cannot be
//! asked is told.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use layerlab_properties::counterexample::directory;
use layerlab_scenarios::skip::skip;
use rustix::process::{Pid, Signal, kill_process};

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

/// The driver in shell with a daemon, which keeps the output of the word that began it; what ends it, and how often either came in the file `told`.
fn with_daemon(within: &Path) -> PathBuf {
    let begin = "    create)\n        [ -e pid ] || { sh -c 'while :; do echo more; sleep 0.01; done' BESIDE & echo $! > pid; echo begun >> BESIDE/told; }\n";
    let quit = "case $word in\n    quit) kill \"$(cat pid)\"; echo quit >> BESIDE/told ;;\n";
    let beside = within.to_str().unwrap();
    let driver = changed(within, "    create)\n", &begin.replace("BESIDE", beside));
    let text = fs::read_to_string(&driver).unwrap();
    fs::write(&driver, text.replace("case $word in\n", &quit.replace("BESIDE", beside))).unwrap();
    driver
}

/// Every process with this path in its command line.
fn running(path: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let lines = processes.filter_map(|process| fs::read(process.join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(path.to_str().unwrap()) && !line.contains("layerlab-laws")).collect()
}

/// Forgets what is kept of the failures of this driver.
fn forget(driver: &Path) {
    let kept = directory(driver.to_str().unwrap());
    if kept.exists() {
        fs::remove_dir_all(kept).unwrap();
    }
}

#[test]
fn a_program_that_hangs_is_ended_and_told() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    // It waits for a program of its own, as a shell does.
    let hang = format!("echo so far >&2; tail -f {}", place.path().join("driver").display());
    for (word, status) in [("promises", CANNOT), ("mount", 1), ("remove", 1)] {
        let answer = format!("case $word in\n    {word}) {hang} ;;\n");
        let driver = changed(place.path(), "case $word in\n", &answer);
        let output = laws(&driver, &["merged-view-equals-the-model", "--limit", "1", "--threads", "2"]);
        let text = text(&output);
        assert_eq!(output.status.code(), Some(status), "{text}");
        let said = "no answer within 1 s (--limit SECONDS gives a driver program more time): so far";
        assert!(text.contains(&format!(": {word}")) && text.contains(said), "{text}");
        assert_eq!(running(place.path()), [""; 0]);
        forget(&driver);
    }
}

#[test]
fn a_program_that_leaves_a_process_is_waited_for_no_longer_and_told_when_to_end_it() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let driver = with_daemon(place.path());
    let output = laws(&driver, &["merged-view-equals-the-model", "--cases", "12", "--limit", "20"]);
    assert!(output.status.success(), "{}", text(&output));
    let told = fs::read_to_string(place.path().join("told")).unwrap();
    let count = |word| told.lines().filter(|line| *line == word).count();
    assert_eq!(count("begun"), count("quit"), "{told}");
    // It is tried before the cases.
    assert!(count("quit") > 12, "{told}");
}

#[test]
fn laws_go_on_where_control_groups_cannot_be_had() {
    if !can() {
        return;
    }
    // What is mounted there is hidden by what cannot be written to.
    let hide = "[ ! -d /sys/fs/cgroup ] || mount -t tmpfs -o ro none /sys/fs/cgroup; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", hide, "sh", env!("CARGO_BIN_EXE_layerlab-laws"), "--subject", DRIVER]);
    let output = command.args(["merged-view-equals-the-model", "--seed", "1", "--cases", "2"]).output().unwrap();
    let text = text(&output);
    assert!(output.status.success() && text.contains("every law held"), "{text}");
    assert_eq!(text.matches("have no control groups of their own: ").count(), 1, "{text}");
}

#[test]
fn nothing_is_left_of_laws_that_are_interrupted() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let temporary = place.path().join("temporary");
    fs::create_dir(&temporary).unwrap();
    let driver = with_daemon(place.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab-laws"));
    command.arg("--subject").arg(&driver).args(["--minutes", "10"]).env("TMPDIR", &temporary);
    let mut laws = command.stdout(Stdio::null()).spawn().unwrap();
    while !running(place.path()).iter().any(|line| line.contains("echo more")) {
        assert!(laws.try_wait().unwrap().is_none(), "it ended before");
        sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&laws), Signal::INT).unwrap();
    assert_eq!(laws.wait().unwrap().code(), Some(128 + Signal::INT.as_raw()));
    assert_eq!(running(place.path()), [""; 0]);
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
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
