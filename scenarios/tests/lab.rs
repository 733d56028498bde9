//! The lab on a real kernel: new namespaces, a bare machine, free ports, and nothing left however it ends.
//!
//! Each test starts this very program again as the outer process of a lab (`outer_process`, by `ENTRANCE`), as the current user
//! and, when that is root, in a user namespace too, and as uid 65534, who has a single ID.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use layerlab_scenarios::lab::furnish::{Furnishing, IMAGES, Program, REGISTRY_PORT};
use layerlab_scenarios::lab::sandbox::{Inside, Outcome, Sandbox};
use layerlab_scenarios::lab::second::SecondHost;
use layerlab_scenarios::page::{Arrangement, Host};
use layerlab_scenarios::skip::skip;
use layerlab_scenarios::target::{Installation, TargetError};

const SCENARIO: &str = "LAYERLAB_TEST_SCENARIO";
const ROOTLESS: &str = "LAYERLAB_TEST_ROOTLESS";
const NAMESPACES: [&str; 6] = ["mnt", "net", "pid", "ipc", "uts", "user"];
/// The test through which this program, started again with a scenario, becomes the outer process of a lab.
const ENTRANCE: &str = "the_exit_status_is_passed_on";
const PATIENCE: Duration = Duration::from_secs(10);

// ---- the outer process and what runs inside ----

/// Becomes the outer process of a lab. Never comes back.
fn outer_process(scenario: &str) -> ! {
    let mut root = Furnishing::default().plan().unwrap();
    // A registry without images.
    root.file(Path::new(IMAGES).join("index.json"), "{\"schemaVersion\":2,\"manifests\":[]}", 0o644);
    root.file(Path::new(IMAGES).join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}", 0o644);
    let rootless = std::env::var_os(ROOTLESS).is_some();
    let cgroup = scenario == "control groups";
    let second_host = scenario == "second host";
    let sandbox = Sandbox { root, keep: scenario == "keep", rootless, cgroup, second_host, ..Sandbox::default() };
    let status = match sandbox.run(|inside| inside_the_lab(scenario, inside)) {
        Ok(Outcome::Ended { status }) => status,
        Ok(Outcome::Kept { pid, status }) => {
            say(&format!("kept {pid} {status}"));
            0
        }
        Err(error) => {
            say(&format!("error {error}"));
            99
        }
    };
    std::process::exit(status.into());
}

fn inside_the_lab(scenario: &str, mut inside: Inside) -> u8 {
    match scenario {
        "facts" => facts(),
        "status" => return 42,
        "panic" => panic!("a runner that panics"),
        "signal" => drop(nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL)),
        "port" => match TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)) {
            Ok(listener) => {
                std::net::TcpStream::connect(("127.0.0.1", 8080)).expect("lo is up");
                drop(listener);
            }
            Err(error) => {
                say(&error.to_string());
                return 1;
            }
        },
        "write" => {
            fs::create_dir_all("/var/lib/docker").unwrap();
            fs::write("/var/lib/docker/marker", "of the lab").unwrap();
            fs::write("/tmp/layerlab-test-marker", "of the lab").unwrap();
            nix::mount::mount(Some("tmpfs"), "/mnt", Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=4k"))
                .unwrap();
            linger();
        }
        "keep" => fs::write("/root/marker", "kept").unwrap(),
        "control groups" => linger(),
        "second host" => {
            let host = SecondHost::begin(inside.second.take().unwrap(), "none", Box::new(NoEngine));
            let mut host = host.unwrap_or_else(|error| panic!("{error}"));
            // The registry of the second host answers on a network that only the cable joins to ours.
            assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, REGISTRY_PORT)).is_err());
            let refused = TcpStream::connect((Host::Second.address(), 1)).unwrap_err();
            assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "the other host answers");
            let why = host.arrange(Arrangement::InstallDocker).unwrap_err();
            assert!(why.starts_with("nothing did not answer"), "{why}");
            assert!(!Path::new("/second").exists(), "a file of the second host");
            linger();
        }
        other => panic!("no scenario {other}"),
    }
    0
}

/// Leaves a file where it is asked to install something.
struct NoEngine;

impl Installation for NoEngine {
    fn programs(&self) -> Vec<Program> {
        Vec::new()
    }

    fn install(&mut self) -> Result<(), TargetError> {
        assert_eq!(nix::unistd::gethostname().unwrap(), "other");
        fs::write("/second", "").unwrap();
        Err(TargetError::Silent { program: "nothing".into(), seconds: 0, log: String::new() })
    }

    fn start(&mut self, _inside: &Inside) -> Result<(), TargetError> {
        Ok(())
    }

    fn engine_log(&self) -> String {
        String::new()
    }
}

/// Starts a second process and waits for the end that comes from outside.
fn linger() {
    // SAFETY: the runner has one thread as far as the child is concerned, which only sleeps.
    if let Ok(nix::unistd::ForkResult::Parent { .. }) = unsafe { nix::unistd::fork() } {
        say("ready");
    }
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

fn facts() {
    for name in NAMESPACES {
        say(&format!("{name} {}", fs::read_link(format!("/proc/self/ns/{name}")).unwrap().display()));
    }
    say(&format!("process {}", std::process::id()));
    say(&format!("uid {}", nix::unistd::getuid()));
    say(&format!("hostname {}", nix::unistd::gethostname().unwrap().to_string_lossy()));
    say(&format!("data-root {}", Path::new("/var/lib/docker").exists()));
    let names = |path| -> BTreeSet<String> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    say(&format!("root {}", Vec::from_iter(names("/")).join(" ")));
    say(&format!("bin {}", names("/usr/bin").len()));
    fs::write("/dev/null", "x").expect("/dev/null takes everything");
    File::open("/dev/urandom").unwrap().read_exact(&mut [0; 8]).unwrap();
    File::options().read(true).write(true).open("/dev/ptmx").expect("a terminal can be made");
}

/// To whoever started this program; the harness was told to capture nothing.
fn say(text: &str) {
    println!("lab: {text}");
}

// ---- starting it ----

#[derive(Debug, Clone, Copy, PartialEq)]
enum User {
    Current,
    /// Root, in a user namespace.
    Rootless,
    Nobody,
}

/// Who labs are tried as: everybody this test can be.
fn users() -> Vec<User> {
    if nix::unistd::geteuid().is_root() {
        vec![User::Current, User::Rootless, User::Nobody]
    } else {
        vec![User::Current]
    }
}

/// This program, opened: so everybody may start it, wherever the checkout lies.
fn this_program() -> File {
    File::open(std::env::current_exe().unwrap()).unwrap()
}

fn start(user: User, scenario: &str) -> Child {
    let program = this_program();
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.args(["--exact", ENTRANCE, "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, scenario).current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped());
    match user {
        User::Current => {}
        User::Rootless => {
            command.env(ROOTLESS, "1");
        }
        User::Nobody => {
            command.uid(65534).gid(65534);
        }
    }
    command.spawn().unwrap()
}

/// What a scenario said, by its first word, and its exit status; `None` when this host forbids such a lab.
fn run(user: User, scenario: &str) -> Option<(Vec<(String, String)>, i32)> {
    let mut outer = start(user, scenario);
    let said: Vec<(String, String)> = sayings(&mut outer).collect();
    let status = outer.wait().unwrap().code().unwrap();
    if forbidden(&said) {
        return None;
    }
    Some((said, status))
}

fn sayings(outer: &mut Child) -> impl Iterator<Item = (String, String)> + use<> {
    let lines = BufReader::new(outer.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(|line| {
        let (_, text) = line.split_once("lab: ")?;
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some((word.to_owned(), rest.to_owned()))
    })
}

fn forbidden(said: &[(String, String)]) -> bool {
    let reason = said.iter().find(|(word, text)| word == "error" && text.contains("no ordinary user"));
    if let Some((_, reason)) = reason {
        skip("user", reason);
    }
    reason.is_some()
}

fn value<'a>(said: &'a [(String, String)], word: &str) -> &'a str {
    &said.iter().find(|(said, _)| said == word).unwrap_or_else(|| panic!("{word} is missing in {said:?}")).1
}

// ---- what must hold ----

#[test]
fn the_namespaces_are_new_and_the_runner_is_the_second_process() {
    for user in users() {
        let Some((said, status)) = run(user, "facts") else { continue };
        assert_eq!(status, 0, "{user:?}: {said:?}");
        for name in NAMESPACES {
            let ours = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
            let is_new = value(&said, name) != ours.to_string_lossy();
            let must_be_new = name != "user" || user != User::Current || !nix::unistd::geteuid().is_root();
            assert_eq!(is_new, must_be_new, "{user:?}: the {name} namespace");
        }
        assert_eq!(value(&said, "process"), "2");
        assert_eq!(value(&said, "uid"), "0");
        assert_eq!(value(&said, "hostname"), "lab");
        assert_ne!(nix::unistd::gethostname().unwrap(), "lab", "the host keeps its name");
    }
}

#[test]
fn the_machine_has_no_data_root_and_shows_nothing_of_the_host() {
    for user in users() {
        let Some((said, _)) = run(user, "facts") else { continue };
        assert_eq!(value(&said, "data-root"), "false", "{user:?}");
        assert_eq!(
            value(&said, "root"),
            "bin dev etc home lab lib lib64 mnt proc root run sbin sys tmp usr var",
            "{user:?}"
        );
        assert_eq!(value(&said, "bin"), "0", "{user:?}: no tool of the host is in PATH");
    }
}

#[test]
fn the_exit_status_is_passed_on() {
    if let Ok(scenario) = std::env::var(SCENARIO) {
        outer_process(&scenario);
    }
    for user in users() {
        let Some((_, status)) = run(user, "status") else { continue };
        assert_eq!(status, 42, "{user:?}");
        assert_eq!(run(user, "signal").unwrap().1, 128 + 9, "{user:?}");
    }
}

#[test]
fn a_runner_that_panics_is_a_failure() {
    for user in users() {
        let Some((_, status)) = run(user, "panic") else { continue };
        assert_eq!(status, 101, "{user:?}");
    }
}

#[test]
fn port_8080_is_free_inside_while_it_is_taken_outside() {
    let taken = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080));
    for user in users() {
        let Some((said, status)) = run(user, "port") else { continue };
        assert_eq!(status, 0, "{user:?}: {said:?}");
    }
    // When binding failed, some other program of the host holds the port, which is as good.
    drop(taken);
}

/// Checklist: MN-09
#[test]
fn killing_the_outer_process_leaves_no_process_mount_or_file() {
    for user in users() {
        for signal in [libc::SIGKILL, libc::SIGTERM] {
            let before = mounts();
            let mut outer = start(user, "write");
            let mut said = sayings(&mut outer);
            let first = Vec::from_iter(said.next());
            if forbidden(&first) {
                outer.wait().unwrap();
                break;
            }
            assert_eq!(first[0].0, "ready", "{user:?}: {first:?}");
            let inside = descendants(outer.id());
            assert_eq!(inside.len(), 3, "{user:?}: PID 1, the runner and its child: {inside:?}");
            // SAFETY: the process is our child and not yet waited for.
            unsafe { libc::kill(outer.id() as i32, signal) };
            outer.wait().unwrap();
            wait_until(|| inside.iter().all(|process| !is_alive(process)), "every process of the lab is gone");
            assert_eq!(mounts(), before, "{user:?}");
            assert!(!Path::new("/var/lib/docker/marker").exists(), "{user:?}");
            assert!(!Path::new("/tmp/layerlab-test-marker").exists(), "{user:?}");
        }
    }
}

#[test]
fn a_second_host_is_joined_by_a_cable_only_and_goes_with_a_killed_lab() {
    for user in users() {
        let mut outer = start(user, "second host");
        let mut said = sayings(&mut outer);
        let first = Vec::from_iter(said.next());
        if forbidden(&first) {
            outer.wait().unwrap();
            continue;
        }
        assert_eq!(first.first().map(|(word, _)| word.as_str()), Some("ready"), "{user:?}: {first:?}");
        let inside = descendants(outer.id());
        assert_eq!(inside.len(), 5, "{user:?}: PID 1 and one more of each host, and the runner's child: {inside:?}");
        outer.kill().unwrap();
        outer.wait().unwrap();
        wait_until(|| inside.iter().all(|process| !is_alive(process)), "every process of both hosts is gone");
    }
}

#[test]
fn a_kept_lab_outlives_its_outer_process_until_its_first_process_is_killed() {
    for user in users() {
        let Some((said, status)) = run(user, "keep") else { continue };
        assert_eq!(status, 0, "{user:?}: {said:?}");
        let (pid, inner) = value(&said, "kept").split_once(' ').unwrap();
        assert_eq!(inner, "0");
        let marker = format!("/proc/{pid}/root/root/marker");
        assert_eq!(fs::read_to_string(marker).unwrap(), "kept", "{user:?}");
        let pid: u32 = pid.parse().unwrap();
        let mut inside = descendants(pid);
        inside.push(identity(pid).unwrap());
        // SAFETY: the lab is ours, and its PID 1 was alive a moment ago.
        unsafe { libc::kill(pid as i32, libc::SIGTERM) };
        wait_until(|| inside.iter().all(|process| !is_alive(process)), "the kept lab is gone");
    }
}

#[test]
fn control_groups_go_with_a_killed_lab() {
    if !nix::unistd::geteuid().is_root() {
        skip("root", "control groups of its own need root");
        return;
    }
    let mut outer = start(User::Current, "control groups");
    let first = Vec::from_iter(sayings(&mut outer).next());
    assert_eq!(first[0].0, "ready", "{first:?}");
    let name = format!("layerlab-lab.{}.", outer.id());
    assert!(!control_groups(&name).is_empty());
    outer.kill().unwrap();
    outer.wait().unwrap();
    wait_until(|| control_groups(&name).is_empty(), "the lab's control groups are gone");
}

// ---- looking at the host ----

/// The control groups whose names begin so, in every hierarchy.
fn control_groups(prefix: &str) -> Vec<String> {
    let entries = walkdir::WalkDir::new("/sys/fs/cgroup").max_depth(2).into_iter().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

fn wait_until(condition: impl Fn() -> bool, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "after {PATIENCE:?} it does not hold that {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The mount points of this process's namespace.
fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().map(|line| line.split(' ').nth(4).unwrap().to_owned()).collect()
}

/// A process: PID, parent and start time.
type Process = (u32, u32, String);

fn identity(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    (fields[0] != "Z").then(|| (pid, fields[1].parse().unwrap(), fields[19].to_owned()))
}

fn is_alive((pid, _, start): &Process) -> bool {
    identity(*pid).is_some_and(|(_, _, now)| now == *start)
}

fn descendants(ancestor: u32) -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let all: Vec<Process> = entries.filter_map(|entry| identity(entry.file_name().to_str()?.parse().ok()?)).collect();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = vec![ancestor];
    while let Some(parent) = parents.pop() {
        for process in all.iter().filter(|(_, of, _)| *of == parent) {
            parents.push(process.0);
            found.push(process.clone());
        }
    }
    found
}
