//! Images of more layers than can be mounted, trees deeper than files may be open, removals that are killed.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use layerlab_engine::image::Digest;
use layerlab_scenarios::skip::skip;

/// A data root for one storage driver.
struct House {
    place: tempfile::TempDir,
    driver: &'static str,
}

impl House {
    fn new(driver: &'static str) -> House {
        House { place: tempfile::tempdir().unwrap(), driver }
    }

    fn path(&self, below: &str) -> String {
        self.place.path().join(below).to_str().unwrap().to_owned()
    }

    /// Through a shell, so that `before` may say under which limits.
    fn command(&self, before: &str, words: &[&str]) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{before}exec \"$@\""), "sh", env!("CARGO_BIN_EXE_layerlab")]);
        command.args(["--data-root", &self.path("data"), "--exec-root", &self.path("exec")]);
        command.args(["--storage-driver", self.driver]).args(words);
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command("", words).output().unwrap()
    }

    fn done(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn refusal(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(!output.status.success(), "{words:?} succeeds");
        String::from_utf8(output.stderr).unwrap().trim_end().to_owned()
    }

    /// An archive of an image of so many layers of one small file each.
    fn archive(&self, layers: usize) -> String {
        let tars: Vec<Vec<u8>> = (0..layers).map(|index| tar_of(&[(&format!("file-{index}"), b"x")])).collect();
        let diff_ids: Vec<String> = tars.iter().map(|tar| Digest::of(tar).to_string()).collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}
        });
        let names: Vec<String> = (0..layers).map(|index| format!("{index}/layer.tar")).collect();
        let name = format!("layers:{layers}");
        let manifest = serde_json::json!([{"Config": "config.json", "RepoTags": [name], "Layers": names}]);
        let (config, manifest) = (config.to_string(), manifest.to_string());
        let mut files = vec![("config.json", config.as_bytes()), ("manifest.json", manifest.as_bytes())];
        files.extend(names.iter().map(String::as_str).zip(tars.iter().map(Vec::as_slice)));
        let path = self.path(&format!("{layers}.tar"));
        fs::write(&path, tar_of(&files)).unwrap();
        path
    }
}

fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        builder.append_data(&mut header, name, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn root_is_here(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("root", &format!("{test} needs root"));
    }
    is_root
}

/// Checklist: N-22~
#[test]
fn an_image_has_no_more_layers_than_its_driver_bears() {
    if !root_is_here("an_image_has_no_more_layers_than_its_driver_bears") {
        return;
    }
    let house = House::new("vfs");
    assert_eq!(house.refusal(&["load", "-i", &house.archive(126)]), "max depth exceeded");
    assert_eq!(fs::read_dir(house.path("data/vfs/dir")).unwrap().count(), 0);
    assert_eq!(house.done(&["load", "-q", "-i", &house.archive(125)]), "Loaded image: layers:125");
    house.done(&["create", "--name", "top", "layers:125", "true"]);
    fs::write(house.path("new"), "x").unwrap();
    house.done(&["cp", &house.path("new"), "top:/new"]);
    assert_eq!(house.refusal(&["commit", "top"]), "Error response from daemon: max depth exceeded");
    fs::create_dir(house.path("context")).unwrap();
    fs::write(house.path("context/Dockerfile"), "FROM layers:125\nCOPY Dockerfile /\n").unwrap();
    let refused = house.refusal(&["build", &house.path("context")]);
    assert!(refused.ends_with("max depth exceeded"), "{refused}");
}

/// Checklist: DL-21~, N-22~
#[test]
fn as_many_layers_as_the_kernel_stacks_are_loaded_and_used() {
    if !root_is_here("as_many_layers_as_the_kernel_stacks_are_loaded_and_used") {
        return;
    }
    let house = House::new("overlay2");
    assert_eq!(house.refusal(&["load", "-i", &house.archive(499)]), "max depth exceeded");
    assert_eq!(house.done(&["load", "-q", "-i", &house.archive(498)]), "Loaded image: layers:498");
    house.done(&["create", "--name", "top", "layers:498", "true"]);
    assert_eq!(house.done(&["diff", "top"]), "");
    house.done(&["rm", "top"]);
}

/// Checklist: N-22~
#[test]
fn a_tree_deeper_than_files_may_be_open_is_removed() {
    let house = House::new("vfs");
    let depth = 400;
    house.done(&["volume", "create", "deep"]);
    fs::create_dir_all(Path::new(&house.path("data/volumes/deep/_data")).join("d/".repeat(depth))).unwrap();
    let output = house.command("ulimit -Sn 100; ", &["volume", "rm", "deep"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "deep\n");
}

/// Checklist: N-22~
#[test]
fn a_tree_deeper_than_files_may_be_open_is_built() {
    let house = House::new("vfs");
    let deep = house.place.path().join("context").join("d/".repeat(1500));
    fs::create_dir_all(deep).unwrap();
    fs::write(house.path("context/Dockerfile"), "FROM scratch\nCOPY . /\n").unwrap();
    let output = house.command("ulimit -Sn 100; ", &["build", "-q", &house.path("context")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_volume_whose_removal_is_killed_is_gone_after_the_next_command() {
    let house = House::new("vfs");
    house.done(&["volume", "create", "--label", "a=b", "big"]);
    let data = house.path("data/volumes/big/_data");
    let fill = |directory: &str| (0..20_000).for_each(|file| fs::write(format!("{directory}/{file}"), "").unwrap());
    fill(&data);
    let mut removal = house.command("", &["volume", "rm", "big"]).stdout(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let intends = || {
        let notes = fs::read_dir(house.path("data/image/vfs/intents")).into_iter().flatten().flatten();
        // One that is being written has another name.
        let notes = notes.filter(|note| !note.file_name().to_string_lossy().starts_with('.'));
        notes.filter_map(|note| fs::read_to_string(note.path()).ok()).any(|text| text == "volume big\n")
    };
    while !intends() {
        assert!(removal.try_wait().unwrap().is_none(), "the volume was removed without a note");
        assert!(began.elapsed().as_secs() < 60, "nothing is removed");
    }
    removal.kill().unwrap();
    removal.wait().unwrap();
    assert!(Path::new(&house.path("data/volumes/big")).exists(), "it was killed too late");
    house.done(&["volume", "create", "other"]);
    assert_eq!(house.done(&["volume", "ls", "-q"]), "other");
    assert!(!Path::new(&house.path("data/volumes/big")).exists());
    assert!(!intends());
}
