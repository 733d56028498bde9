//! Other people's tools pull what we push and push what we pull: digests agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use layerlab_engine::image::Digest;
use layerlab_scenarios::skip::skip;
use serde_json::Value;

use super::server::{Guard, RealRegistry};
use super::transfer::shelf::Shelf;
use super::{pull_back, pull_layers_back, push_from, settings};

/// Whether the program answers; else a skip.
fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        skip(program, &format!("no {program} on this host"));
    }
    found
}

fn run(command: &mut Command) -> String {
    // Where a user without a session keeps his passwords may be root's.
    let place = tempfile::tempdir().unwrap();
    let passwords = place.path().join("auth.json");
    fs::write(&passwords, "{}").unwrap();
    let output = command.env("REGISTRY_AUTH_FILE", passwords).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Checklist: ID-07, DF-11
#[test]
fn skopeo_reads_what_we_push_and_we_pull_what_it_pushes() {
    if !has("skopeo") {
        return;
    }
    let Some(registry) = RealRegistry::start(Guard::Nobody) else { return };
    let (shelf, name) = (Shelf::new(3), registry.name("a/b:ours"));
    let pushed = push_from(&shelf, &name, &settings()).0.unwrap();
    let seen = run(Command::new("skopeo").args(["inspect", "--tls-verify=false", &format!("docker://{name}")]));
    let seen: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen["Digest"], pushed.manifest_digest.to_string());
    assert_eq!(seen["Layers"].as_array().unwrap().len(), 3);

    for (tag, options) in [
        ("docker", &["--preserve-digests"][..]),
        ("oci", &["--format", "oci"]),
        ("zstd", &["--format", "oci", "--dest-compress", "--dest-compress-format", "zstd"]),
        ("plain", &["--format", "oci", "--dest-decompress"]),
    ] {
        let there = tempfile::tempdir().unwrap();
        let directory = format!("dir:{}", there.path().display());
        let theirs = registry.name(&format!("theirs/{tag}:v1"));
        let verify = ["--src-tls-verify=false", "--dest-tls-verify=false"];
        // By way of a directory: from the registry to itself nothing would be compressed anew.
        run(Command::new("skopeo")
            .arg("copy")
            .args(verify)
            .args(options)
            .args([format!("docker://{name}"), directory.clone()]));
        run(Command::new("skopeo").arg("copy").args(verify).args([directory, format!("docker://{theirs}")]));
        // For OCI it writes the configuration anew.
        let (_, digest) = pull_layers_back(&shelf, &theirs, &settings());
        let seen = run(Command::new("skopeo").args(["inspect", "--tls-verify=false", &format!("docker://{theirs}")]));
        let seen: Value = serde_json::from_str(&seen).unwrap();
        assert_eq!(seen["Digest"], digest.to_string(), "{tag}");
        assert_eq!(tag == "docker", digest == pushed.manifest_digest, "{tag}");
    }
}

#[test]
fn podman_pulls_what_we_push_and_we_pull_what_it_pushes() {
    if !has("podman") {
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        return skip("root", "podman with a storage of its own needs root here");
    }
    let Some(registry) = RealRegistry::start(Guard::Nobody) else { return };
    let (shelf, name) = (Shelf::new(2), registry.name("a/b:ours"));
    push_from(&shelf, &name, &settings()).0.unwrap();
    let place = tempfile::tempdir().unwrap();
    let podman = || {
        let mut command = Command::new("podman");
        let path = |name: &str| place.path().join(name).display().to_string();
        command.args(["--root", &path("root"), "--runroot", &path("run"), "--storage-driver", "vfs"]);
        command.args(["--events-backend", "none", "--tmpdir", &path("tmp")]);
        command
    };
    let id = run(podman().args(["pull", "--quiet", "--tls-verify=false", &name]));
    assert_eq!(id.trim(), Digest::of(&shelf.image.config).hex());
    let theirs = registry.name("theirs/podman:v1");
    run(podman().args([
        "push",
        "--quiet",
        "--tls-verify=false",
        "--format",
        "v2s2",
        id.trim(),
        &format!("docker://{theirs}"),
    ]));
    pull_back(&shelf, &theirs, &settings());
}

#[test]
fn dockerd_pulls_what_we_push_and_we_pull_what_it_pushes() {
    let Some(docker) = Dockerd::start() else { return };
    let Some(registry) = RealRegistry::start(Guard::Nobody) else { return };
    let (shelf, name) = (Shelf::new(2), registry.name("a/b:ours"));
    let pushed = push_from(&shelf, &name, &settings()).0.unwrap();
    let said = run(docker.client().args(["pull", &name]));
    assert!(said.contains(&format!("Digest: {}", pushed.manifest_digest)), "{said}");
    let theirs = registry.name("theirs/docker:v1");
    run(docker.client().args(["tag", &name, &theirs]));
    let said = run(docker.client().args(["push", &theirs]));
    let digest = pull_back(&shelf, &theirs, &settings());
    assert!(said.contains(&format!("v1: digest: {digest} size: {}", pushed.size_bytes)), "{said}");
    assert_eq!(digest, pushed.manifest_digest, "the same blobs make the same manifest");
}

/// A dockerd of the test's own.
struct Dockerd {
    process: Child,
    place: tempfile::TempDir,
}

impl Dockerd {
    fn start() -> Option<Dockerd> {
        let found = Command::new("dockerd").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !found || !nix::unistd::geteuid().is_root() {
            skip("docker", "a dockerd of the test's own needs root and Docker");
            return None;
        }
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name).display().to_string();
        let log = std::fs::File::create(path("log")).unwrap();
        std::fs::write(path("none.json"), "{}").unwrap();
        let process = Command::new("dockerd")
            .args(["--data-root", &path("data"), "--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["-H", &format!("unix://{}", path("socket")), "--config-file", &path("none.json")])
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs"])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();

        let docker = Dockerd { process: process.unwrap(), place };
        let deadline = Instant::now() + Duration::from_secs(60);
        while !docker.client().arg("version").output().unwrap().status.success() {
            let log = std::fs::read_to_string(docker.path("log")).unwrap();
            assert!(Instant::now() < deadline, "dockerd does not answer: {log}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Some(docker)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn client(&self) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &format!("unix://{}", self.path("socket").display())]);
        command.env("DOCKER_CONFIG", self.place.path()).env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        command
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.process.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.process.wait().unwrap();
        let data: &Path = &self.path("data");
        // dockerd bind-mounts its own root.
        let _ = nix::mount::umount2(data, nix::mount::MntFlags::MNT_DETACH);
    }
}
