//! A data root that dockerd filled and that lost something is dockerd's again after a repair: dockerd runs and saves what it ran and saved before.
//!
//! Checklist: CR-04~
//!
//! *Why*: a check that finds a loss, and a repair after which the same check finds nothing, could be wrong together; dockerd is the judge.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use layerlab_engine::image::Digest;
use layerlab_scenarios::image::Layout;
use layerlab_scenarios::registry::{Registry, RegistryOptions};

use super::docker::{Docker, docker_is_here};
use super::turns::{Engine, Ours, tree};
use super::{file, ran};

/// A data root, as somebody without an engine sees it.
struct Root<'a>(&'a Path);

impl Root<'_> {
    fn home(&self) -> PathBuf {
        self.0.join("overlay2")
    }

    fn said(&self, path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    /// The record of the layer that lies on the lowest.
    fn record(&self) -> PathBuf {
        let chains = self.0.join("image/overlay2/layerdb/sha256");
        let all: Vec<PathBuf> = fs::read_dir(chains).unwrap().map(|entry| entry.unwrap().path()).collect();
        let lowest = all.iter().find(|path| !path.join("parent").exists()).unwrap();
        let lowest = format!("sha256:{}", lowest.file_name().unwrap().display());
        let is_next = |path: &&PathBuf| fs::read_to_string(path.join("parent")).is_ok_and(|parent| parent == lowest);
        all.iter().find(is_next).unwrap().clone()
    }

    /// Its directory of the driver.
    fn directory(&self) -> PathBuf {
        self.home().join(self.said(&self.record().join("cache-id")))
    }
}

/// What is lost, and what a check calls it.
type Loss = (&'static str, fn(&Root), &'static str);

/// dockerd looks after each two, of which the second's repair leaves the first's as it is.
const LOSSES: [[Loss; 2]; 3] = [
    [
        ("the directory of a middle layer", |root| fs::remove_dir_all(root.directory()).unwrap(), "directory"),
        ("l", |root| fs::remove_dir_all(root.home().join("l")).unwrap(), "link"),
    ],
    [
        ("tar-split.json.gz", |root| fs::remove_file(root.record().join("tar-split.json.gz")).unwrap(), "tar-split"),
        ("lower of a middle layer", |root| fs::remove_file(root.directory().join("lower")).unwrap(), "lower"),
    ],
    [
        (
            "what was in a file",
            |root| fs::write(root.directory().join("diff/etc/middle"), "somebody else's\n").unwrap(),
            "content",
        ),
        ("parent of a middle layer", |root| fs::remove_file(root.record().join("parent")).unwrap(), "layer-record"),
    ],
];

#[test]
fn what_a_data_root_of_dockerds_lost_is_mended_so_that_dockerd_runs_and_saves_the_same_again() {
    if !docker_is_here() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let none = place.path().join("none");
    Layout::create(&none).unwrap().write_index(&[], None).unwrap();
    let options = RegistryOptions { pushed: Some(place.path().join("pushed")), ..RegistryOptions::default() };
    let registry = Registry::serve(TcpListener::bind("127.0.0.1:0").unwrap(), none, options).unwrap();
    let name = format!("{}/lost:1", registry.addr());
    let data = place.path().join("root");
    let root = Root(&data);

    let tar = file(place.path(), "tree.tar", &tree());
    let context = place.path().join("context");
    fs::create_dir(&context).unwrap();
    file(&context, "Dockerfile", b"FROM base:1\nCOPY middle /etc/middle\nCOPY top /etc/one\n");
    file(&context, "middle", b"in the middle\n");
    file(&context, "top", b"another\n");
    let docker = Docker::start(&data, "overlay2");
    docker.says(&["import", tar.to_str().unwrap(), "base:1"]);
    docker.says(&["build", "--network", "none", "--tag", &name, context.to_str().unwrap()]);
    docker.says(&["push", &name]);
    docker.says(&["rmi", "--force", &name, "base:1"]);
    // It is one that can come again.
    docker.says(&["pull", &name]);
    let known = known(&docker, &name);
    drop(docker);

    let ours = Ours(&data, "overlay2");
    for losses in LOSSES {
        for (what, lose, fault) in losses {
            lose(&root);
            let found = ours.words(&["check", "--format", "{{.Fault}}"]).output().unwrap();
            let told = String::from_utf8_lossy(&found.stdout).into_owned();
            assert!(found.status.code() == Some(1) && told.lines().all(|line| line == fault), "{what}: {told}");
            ours.says(&["check", "--repair"]);
            assert!(ours.says(&["check"]).ends_with("no fault found"), "{what}");
        }
        let docker = Docker::start(&data, "overlay2");
        assert_eq!(self::known(&docker, &name), known, "{:?}", losses.map(|(what, ..)| what));
    }
}

/// What a container says and the digest of what is saved.
fn known(docker: &Docker, name: &str) -> (String, Digest) {
    let said = docker.says(&["run", "--rm", "--network", "none", name, "/prog"]);
    (said, Digest::of(&ran(docker.words(&["save", name]).output().unwrap())))
}
