//! A dockerd of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use layerlab_scenarios::skip::skip;

use super::ran;

/// Whether a dockerd can be started here.
pub fn docker_is_here() -> bool {
    let has = |name: &str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    if !rustix::process::geteuid().is_root() {
        skip("docker", "a dockerd needs root");
        return false;
    }
    if !has("dockerd") || !has("docker") {
        skip("docker", "there is no dockerd");
        return false;
    }
    true
}

/// A dockerd on a data root, until it is dropped.
pub struct Docker {
    daemon: Child,
    root: PathBuf,
    directory: tempfile::TempDir,
}

impl Docker {
    pub fn start(root: &Path, driver: &str) -> Docker {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let daemon = Command::new("dockerd")
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false"])
            .arg(format!("--storage-driver={driver}"))
            .arg("--data-root")
            .arg(root)
            .arg("--exec-root")
            .arg(path("exec"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg(format!("--host=unix://{}", path("socket").display()))
            .stdout(Stdio::null())
            .stderr(fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        let docker = Docker { daemon, root: root.to_owned(), directory };
        let start = Instant::now();
        while !docker.command(&["version"]).output().unwrap().status.success() {
            let log = || fs::read_to_string(docker.directory.path().join("log")).unwrap();
            assert!(start.elapsed() < Duration::from_secs(60), "dockerd does not answer:\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
        docker
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.directory.path().join("socket").display())).args(words);
        command.env("DOCKER_BUILDKIT", "0");
        command
    }

    pub fn run(&self, words: &[&str]) -> Vec<u8> {
        ran(self.command(words).output().unwrap())
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let id = nix::unistd::Pid::from_raw(self.daemon.id().cast_signed());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.daemon.wait().unwrap();
        // dockerd leaves these mounts behind.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let own = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        let left =
            |mount: &&str| [self.directory.path(), &self.root].iter().any(|place| Path::new(mount).starts_with(place));
        for mount in own.filter(left) {
            nix::mount::umount2(mount, nix::mount::MntFlags::MNT_DETACH).unwrap();
        }
    }
}
