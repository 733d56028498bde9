//! The script that a counterexample is told as does what the case did: the same steps come out the same.
//!
//! Checklist: N-27~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::os::unix::process::CommandExt;
use std::process::Command;

use layerlab_model::operation::{Operation, Step};
use layerlab_properties::backing::LOOP_TYPES;
use layerlab_properties::case::{Case, prepare_thread};
use layerlab_properties::counterexample::{ByHand, Counterexample};
use layerlab_properties::enter::own_mounts;
use layerlab_properties::generate::{Generator, Weights};
use layerlab_properties::machine::Host;
use layerlab_properties::subjects::{self, Subject, program};
use layerlab_scenarios::skip::skip;

mod memory;

use memory::memory;
use rustix::mount::MountPropagationFlags;

const CASES: u64 = 12;
/// As many of each other set of mount options.
const CASES_OF_OPTIONS: u64 = 2;
const LENGTH: usize = 60;

fn script_of(subject: &dyn Subject, backing: &str, rootless: bool, steps: Vec<Step>) -> String {
    let kept = Counterexample {
        law: Some("none".into()),
        subject: subject.name(),
        backing: backing.into(),
        rootless,
        kernel: String::new(),
        seed: 0,
        steps,
        findings: vec!["nothing".into()],
    };
    kept.script(&ByHand::of(subject))
}

/// What each step of the case of `seed` gave, by the word that the script has for it.
fn done(subject: &dyn Subject, host: &Host, seed: u64) -> (Vec<Step>, Vec<String>) {
    let place = tempfile::tempdir_in(memory()).unwrap();
    let mut case = Case::begin(subject, host, place.path()).unwrap();
    let mut generator = Generator::new(seed, Weights::default(), true);
    let (mut steps, mut outcomes) = (Vec::new(), Vec::new());
    for _ in 0..LENGTH {
        let step = generator.step(case.model());
        if case.model().promises_nothing_of(&step) {
            continue;
        }
        let actual = case.step(&step, false).unwrap().actual;
        if !matches!(step.operation, Operation::Remount | Operation::Commit) {
            let outcome = actual.err().map_or("ok".to_owned(), |errno| errno.to_string());
            outcomes.push(format!("{outcome} {}", step.operation.word()));
        }
        steps.push(step);
    }
    (steps, outcomes)
}

fn comes_out_the_same(name: impl Into<String>, cases: u64) {
    let name = name.into();
    if !rustix::process::geteuid().is_root() {
        return skip("root", "the script of a counterexample mounts");
    }
    let search = move || {
        own_mounts().unwrap();
        let own = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", own).unwrap();
        prepare_thread().unwrap();
        let host = Host::probe(true).on(&memory()).unwrap();
        let subject = subjects::named(&name, program::LIMIT).unwrap().unwrap();
        if let Some(reason) = subject.refusal(&host).or_else(|| subject.refusal_on(&memory())) {
            skip("root", &format!("{name}: {reason}"));
            return Vec::new();
        }
        (0..cases)
            .map(|seed| done(&*subject, &host, seed))
            .map(|(steps, done)| (script_of(&*subject, "tmpfs", false, steps), done))
            .collect::<Vec<_>>()
    };
    for (script, outcomes) in std::thread::spawn(search).join().unwrap() {
        let file = tempfile::Builder::new().suffix(".sh").tempfile().unwrap();
        std::fs::write(file.path(), &script).unwrap();
        std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let path = file.into_temp_path();
        let output = Command::new(&path).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let steps = text.lines().take_while(|line| *line != "-- merged").filter(|line| !line.starts_with("--"));
        let steps: Vec<String> =
            steps.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{text}\n{script}");
        assert_eq!(steps, outcomes, "{said}\n{script}");
        assert!(text.contains("-- merged\n"), "{text}");
    }
}

#[test]
fn steps_come_out_the_same_in_a_plain_directory() {
    comes_out_the_same("plain", CASES);
}

#[test]
fn steps_come_out_the_same_in_an_overlay() {
    comes_out_the_same("overlay", CASES);
}

#[test]
fn steps_come_out_the_same_with_a_driver_program() {
    comes_out_the_same(concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/overlay.sh"), CASES_OF_OPTIONS);
}

#[test]
fn steps_come_out_the_same_with_other_mount_options() {
    let all = subjects::all();
    let is_bare = |name: &str| name.starts_with("overlay-");
    for subject in all.iter().filter(|subject| is_bare(&subject.name())) {
        comes_out_the_same(subject.name(), CASES_OF_OPTIONS);
    }
}

/// The steps are those of a file system in memory; the script does them on another.
#[test]
fn a_script_makes_the_file_system_that_the_layers_lay_on() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "the script of a counterexample mounts");
    }
    let all = subjects::all();
    let subject = all.iter().find(|subject| subject.name() == "overlay").unwrap();
    for kind in LOOP_TYPES {
        let steps = r#"{"user":"root","do":"mkdir","path":"/a","mode":493}"#;
        let script = script_of(&**subject, kind, false, vec![serde_json::from_str(steps).unwrap()]);
        let output = Command::new("sh").args(["-c", &script, "sh", "inside"]).output().unwrap();
        let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if said.contains("loop device") || said.contains("not found") {
            skip(kind, &said);
            continue;
        }
        assert!(output.status.success() && text.contains("ok     mkdir"), "{text}{said}");
    }
}

/// What an ordinary user found is shown to one: here to nobody.
#[test]
fn a_script_of_what_was_found_without_root_needs_none() {
    const NOBODY: u32 = 65534;
    const STEPS: [&str; 4] = [
        r#"{"user":"root","do":"mkdir","path":"/a","mode":493}"#,
        r#"{"user":"root","do":"commit"}"#,
        r#"{"user":"root","do":"rename","from":"/a","to":"/b","replace":"yes"}"#,
        r#"{"user":"root","do":"set-xattr","target":{"path":"/a"},"name":"user.x","value":"1","before":"any"}"#,
    ];
    let all = subjects::all();
    let steps = || STEPS.iter().map(|step| serde_json::from_str(step).unwrap()).collect();
    for name in ["plain", "overlay-metacopy"] {
        let subject = all.iter().find(|subject| subject.name() == name).unwrap();
        for backing in ["tmpfs", "ext4"] {
            let script = script_of(&**subject, backing, true, steps());
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("script.sh");
            std::fs::write(&path, &script).unwrap();
            for path in [place.path(), &path] {
                std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            }
            // Wherever it lies: that must be one that an upper layer can be on.
            let mut command = Command::new(&path);
            command.env("TMPDIR", memory());
            if rustix::process::geteuid().is_root() {
                command.uid(NOBODY).gid(NOBODY);
            }
            let output = command.output().unwrap();
            let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            if said.contains("unshare") {
                skip("user", &said);
                return;
            }
            assert!(output.status.success(), "{text}{said}\n{script}");
            // Only a plain directory can rename what it has, and keep it.
            let expected = if name == "plain" { "ok     rename" } else { "EXDEV  rename" };
            assert!(text.contains("ok     mkdir") && text.contains(expected), "{text}{said}");
        }
    }
}
