//! Detectors of others catch what they can, see nothing where nothing is wrong, say when they cannot, and leave nothing behind.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use layerlab_bugs::outward::fuse::serve::DEVICE;
use layerlab_scenarios::skip::skip;

/// How long it is waited until the kernel has ended what was killed.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Whether this machine can.
fn can() -> bool {
    if !rustix::process::geteuid().is_root() {
        skip("root", "bugs are seeded in what only root can mount");
        return false;
    }
    if !Path::new(DEVICE).exists() {
        skip("fuse", "there is no /dev/fuse");
        return false;
    }
    true
}

fn ours(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/detectors").join(name)
}

fn command(detector: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab-bugs"));
    command.arg("--detector").arg(detector).args(options);
    command
}

fn shown(detector: &Path, options: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command(detector, options).output().unwrap();
    (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

/// A detector of these lines.
fn detector(place: &Path, lines: &str) -> PathBuf {
    let path = place.join("detector");
    fs::write(&path, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn says(text: &str, verdict: &str, name: &str) -> bool {
    let line = format!("{verdict:<11} {name} ");
    text.lines().any(|said| said.starts_with(&line))
}

#[test]
fn a_detector_of_mounts_catches_what_it_is_about_and_says_what_it_cannot_do() {
    if !can() {
        return;
    }
    let caught = [
        "whiteouts-are-forgotten-by-a-remount",
        "a-deleted-file-is-still-listed",
        "a-new-link-is-another-file",
        "a-whiteout-further-down-hides-what-came-after",
        "a-deletion-without-a-look-before-is-forgotten",
    ];
    let (missed, not_run) = ("links-are-made-by-the-driver", "whiteouts-are-packed-as-links");
    let hidden = "a-deleted-file-can-be-renamed";
    let (code, text) = shown(&ours("mounts.sh"), &[&caught[..], &[missed, not_run, hidden, "--steps"]].concat());
    assert_eq!(code, Some(1), "one was not seen: {text}");
    assert!(says(&text, "saw nothing", "nothing-is-wrong"), "{text}");
    assert!(caught.iter().all(|name| says(&text, "caught", name)), "{text}");
    assert!(says(&text, "saw nothing", missed) && says(&text, "cannot run", not_run), "{text}");
    assert!(says(&text, "cannot run", hidden) && text.contains("the kernel looks for a name before"), "{text}");
    assert!(text.contains("this one looks at mounts only"), "{text}");
    assert!(text.contains("file was deleted, and is there again"), "{text}");
    assert!(text.contains("of 8 bugs 5 caught, 1 not seen, 2 not run, 0 without an answer"), "{text}");
}

#[test]
fn a_detector_of_drivers_catches_what_it_is_about() {
    if !can() {
        return;
    }
    let (code, text) = shown(&ours("drivers.sh"), &["whiteouts-are-packed-as-links"]);
    assert_eq!(code, Some(0), "every bug that it could run against is caught: {text}");
    assert!(says(&text, "saw nothing", "nothing-is-wrong"), "{text}");
    assert!(says(&text, "caught", "whiteouts-are-packed-as-links"), "{text}");
    let (code, text) = shown(&ours("drivers.sh"), &["old-files-are-left-out"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(says(&text, "saw nothing", "old-files-are-left-out"), "{text}");
}

#[test]
fn the_detector_that_contributing_shows_works() {
    if !can() {
        return;
    }
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../CONTRIBUTING.md")).unwrap();
    let section = text.split("## Point the bugs outward").nth(1).unwrap();
    let block = section.split("```").nth(1).unwrap().strip_prefix("sh\n").unwrap();
    let lines: Vec<&str> = block.lines().map(str::trim).collect();
    assert_eq!(lines[0], "#!/bin/sh");
    let place = tempfile::tempdir().unwrap();
    let (code, text) =
        shown(&detector(place.path(), &lines[1..].join("\n")), &["whiteouts-are-forgotten-by-a-remount"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(says(&text, "saw nothing", "nothing-is-wrong"), "{text}");
    assert!(says(&text, "caught", "whiteouts-are-forgotten-by-a-remount"), "{text}");
}

#[test]
fn a_bug_that_lets_users_in_is_reached_and_nobody_else_is_let_in() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let lines = r#"[ "$LAYERLAB_SUBJECT" = mount ] || exit 77
command -v setpriv > /dev/null || { echo "there is no setpriv"; exit 77; }
if setpriv --reuid 1000 --regid 1000 --clear-groups chmod 0777 "$LAYERLAB_MERGED/file"; then exit 1; fi
setpriv --reuid 1000 --regid 1000 --clear-groups chmod 0640 "$LAYERLAB_MERGED/owned" || exit 1"#;
    let (_, text) = shown(&detector(place.path(), lines), &["anybody-may-change-modes"]);
    if text.contains("there is no setpriv") {
        return skip("root", "there is no setpriv to be another user with");
    }
    assert!(says(&text, "saw nothing", "nothing-is-wrong"), "{text}");
    assert!(says(&text, "caught", "anybody-may-change-modes"), "{text}");
}

#[test]
fn what_is_right_is_no_bug_and_who_cries_there_is_not_counted() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (code, text) = shown(&detector(place.path(), "exit 1"), &["whiteouts-are-forgotten-by-a-remount"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it saw something where nothing is wrong"), "{text}");
    let (code, text) = shown(&detector(place.path(), "echo oh; exit 3"), &["whiteouts-are-forgotten-by-a-remount"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it ended with status 3: oh"), "{text}");
    let (code, text) = shown(Path::new("/nowhere/at/all"), &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("there is no program /nowhere/at/all"), "{text}");
}

/// Whether there is a process with this word on its command line.
fn is_running(word: &str) -> bool {
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .any(|line| line.split(|byte| *byte == 0).any(|given| given == word.as_bytes()))
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mountinfo").unwrap()
}

#[test]
fn a_detector_that_hangs_is_ended_with_all_that_it_began() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (word, before) = (&*format!("40961.{}", std::process::id()), mounts());
    // One that has left its parent, one in the mount, and itself.
    let lines =
        format!("(cd \"${{LAYERLAB_MERGED:-/}}\" && exec setsid sleep {word}) &\n(sleep {word} &)\nsleep {word}");
    let (code, text) = shown(&detector(place.path(), &lines), &["links-are-made-by-the-driver", "--limit", "1"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("it had not ended after 1 s") && text.contains("1 without an answer"), "{text}");
    assert!(!is_running(word), "something that a detector began is left");
    assert_eq!(mounts(), before);
}

#[test]
fn what_a_detector_mounts_or_unmounts_is_its_own_affair() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let bugs = ["links-are-made-by-the-driver", "whiteouts-are-forgotten-by-a-remount"];
    let lines = "[ \"$LAYERLAB_SUBJECT\" = mount ] || exit 77\n\
                 [ ! -e /mnt/left ] || exit 1\n\
                 mount -t tmpfs none /mnt && touch /mnt/left && mkdir \"$TMPDIR/there\" || exit 2\n\
                 mount --bind \"$LAYERLAB_MERGED/dir\" \"$TMPDIR/there\" && umount \"$LAYERLAB_MERGED\" || exit 2";
    let (code, text) = shown(&detector(place.path(), lines), &bugs);
    assert!(code == Some(1) && text.contains("of 2 bugs 0 caught, 2 not seen"), "{text}");
    // What it has mounted elsewhere cannot be mounted again; then the connection is broken off, and that is told.
    let lines = "mkdir \"$TMPDIR/there\" && mount --bind \"$LAYERLAB_MERGED/dir\" \"$TMPDIR/there\" || exit 2\n\
                 \"$LAYERLAB_REMOUNT\" || exit 77";
    let (code, text) = shown(&detector(place.path(), lines), &bugs[..1]);
    assert_eq!(code, Some(77), "{text}");
    assert!(text.contains("somebody still has it, mounted elsewhere or open"), "{text}");
}

#[test]
fn nothing_is_left_where_the_command_itself_is_killed() {
    if !can() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (word, before) = (&*format!("40962.{}", std::process::id()), mounts());
    let detector = detector(place.path(), &format!("(setsid sleep {word} &)\nsleep {word}"));
    let mut command = command(&detector, &["links-are-made-by-the-driver"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let waits = |is: bool| {
        while is_running(word) != is {
            assert!(began.elapsed() < END_LIMIT, "what a detector began is {}", if is { "not there" } else { "left" });
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    waits(true);
    child.kill().unwrap();
    child.wait().unwrap();
    waits(false);
    assert_eq!(mounts(), before);
    assert!(!Path::new("/dev/shm/socket").exists());
}

#[test]
fn a_driver_program_refuses_what_it_cannot_do_and_says_why() {
    let run = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab-driver"));
        let output = command.env_remove("LAYERLAB_DATA_ROOT").args(words).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let place = tempfile::tempdir().unwrap();
    let root = place.path().to_str().unwrap();
    let (code, said) = run(&["list"]);
    assert!(code == Some(1) && said.contains("--data-root or LAYERLAB_DATA_ROOT must say"), "{said}");
    let vfs = ["--driver", "vfs", "--data-root", root];
    let (code, said) = run(&[&vfs[..], &["create", "../up"]].concat());
    assert!(code == Some(1) && said.contains("\"../up\" is no layer"), "{said}");
    let (code, said) = run(&[&vfs[..], &["--bug", "none", "list"]].concat());
    assert!(code == Some(1) && said.contains("there is no bug \"none\""), "{said}");
    assert_eq!(run(&[&vfs[..], &["create", "base"]].concat()).0, Some(0));
    let (code, said) = run(&[&vfs[..], &["changes", "base"]].concat());
    assert!(code == Some(2) && said.contains("PARENT"), "{said}");
}
