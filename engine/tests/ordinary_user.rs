//! An ordinary user of this host, without a lab around it: its commands share one namespace and keep one another from nothing else.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use layerlab_scenarios::skip::skip;

/// Whom root becomes: a user who has nothing.
const NOBODY: u32 = 65534;

/// More than a pipe holds, so that whoever exports it waits until it is read.
const FILE_BYTES: usize = 1 << 20;

/// How long a command may take that nobody keeps waiting.
const PATIENCE: Duration = Duration::from_secs(20);

/// An engine with a data root of its own.
struct User {
    home: tempfile::TempDir,
}

impl User {
    /// The user of this test, or nobody for root.
    fn new() -> User {
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // Where the program was built nobody may be able to look.
        fs::copy(env!("CARGO_BIN_EXE_layerlab"), home.path().join("layerlab")).unwrap();
        let user = User { home };
        fs::create_dir(user.place()).unwrap();
        if is_root() {
            chown(user.place(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        user
    }

    fn place(&self) -> PathBuf {
        self.home.path().join("user")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.home.path().join("layerlab"));
        let place = self.place();
        command.arg("--data-root").arg(place.join("data")).arg("--exec-root").arg(place.join("run")).args(words);
        command.env("HOME", &place).current_dir("/").stdin(Stdio::null());
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn output(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn import(&self, name: &str) -> Output {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(FILE_BYTES as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "file", vec![0; FILE_BYTES].as_slice()).unwrap();
        let path = self.home.path().join("image.tar");
        fs::write(&path, archive.into_inner().unwrap()).unwrap();
        self.output(&["import", path.to_str().unwrap(), name])
    }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn has_monitor(exec_root: &Path) -> bool {
    fs::read_dir(exec_root)
        .is_ok_and(|mut entries| entries.any(|entry| entry.unwrap().path().join("monitor.pid").exists()))
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn two_starts_that_wait_for_one_layer_keep_no_other_command_waiting() {
    let user = User::new();
    let imported = user.import("image");
    let said = String::from_utf8_lossy(&imported.stderr);
    if said.contains("user namespace") {
        return skip("user", &said);
    }
    assert!(imported.status.success(), "{said}");
    assert!(user.output(&["create", "--name", "cc", "--network", "none", "image", "nosuch"]).status.success());

    let mut reader = user.start(&["export", "cc"]);
    let mut archive = reader.stdout.take().unwrap();
    let mut first = [0];
    archive.read_exact(&mut first).unwrap();
    let starts = [user.start(&["start", "cc"]), {
        until("a monitor", || has_monitor(&user.place().join("run")));
        user.start(&["start", "cc"])
    }];
    // The second one finds the monitor of the first.
    thread::sleep(Duration::from_millis(500));
    let mut other = user.start(&["images", "-q"]);
    until("the other command", || other.try_wait().unwrap().is_some());
    assert!(other.wait_with_output().unwrap().status.success());

    archive.read_to_end(&mut Vec::new()).unwrap();
    assert!(reader.wait().unwrap().success());
    for start in starts {
        let output = start.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("exec: \"nosuch\": executable file not found in $PATH"), "{said}");
    }
    // What an ordinary user's engine made only the engine removes.
    assert!(user.output(&["rm", "cc"]).status.success());
    assert!(user.output(&["rmi", "image"]).status.success());
}
