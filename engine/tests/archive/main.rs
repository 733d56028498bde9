//! Archives, and whole data roots, between this engine and the tools people have: the same image has the same ID, layers and bytes on both sides.
//!
//! The dockerd is one of the test's own: data root, socket and network are nobody else's, and it ends with the test.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod docker;
mod podman;
mod repaired;
mod turns;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use docker::{Docker, docker_is_here};
use layerlab_scenarios::skip::skip;

fn ran(output: Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap().trim_end().to_owned()
}

/// Our engine on a data root.
fn ours(root: &Path, words: &[&str]) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab"));
    command.arg("--data-root").arg(root).arg("--exec-root").arg(root.with_extension("exec"));
    ran(command.args(words).output().unwrap())
}

/// A tar with a little of everything, as the `tar` crate makes it: not as Docker would.
fn tree(extra: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |kind, name: &str, contents: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        header.set_size(contents.len() as u64);
        builder.append_data(&mut header, name, contents).unwrap();
    };
    add(tar::EntryType::Directory, "etc/", b"");
    add(tar::EntryType::Regular, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n");
    add(tar::EntryType::Regular, &format!("{}/{}", "long".repeat(30), "name".repeat(30)), &[7; 70_000]);
    add(tar::EntryType::Regular, extra, extra.as_bytes());
    let mut tar = builder.into_inner().unwrap();
    tar.resize(tar.len() + 4096, 0);
    tar
}

/// One as no `docker` would make it: a sparse file of GNU's, padding that is not zero, and something after its end.
fn odd_tree() -> Vec<u8> {
    let octal = |number: u64| format!("{number:011o}\0").into_bytes();
    let mut sparse = tar::Header::new_gnu();
    sparse.set_entry_type(tar::EntryType::GNUSparse);
    sparse.as_old_mut().name[..6].copy_from_slice(b"sparse");
    sparse.set_mode(0o644);
    sparse.set_uid(0);
    sparse.set_gid(0);
    sparse.set_mtime(1_700_000_000);
    sparse.set_size(1024);
    // 512 bytes at the beginning, and as many before the end of 64 KiB.
    let map = [0, 512, 65_024, 512].map(octal).concat();
    sparse.as_mut_bytes()[386..386 + map.len()].copy_from_slice(&map);
    sparse.as_mut_bytes()[483..495].copy_from_slice(&octal(65_536));
    sparse.set_cksum();
    let mut tar = [sparse.as_bytes(), &[b's'; 1024][..]].concat();
    let mut plain = tar::Header::new_gnu();
    plain.as_old_mut().name[..6].copy_from_slice(b"padded");
    plain.set_mode(0o644);
    plain.set_uid(0);
    plain.set_gid(0);
    plain.set_mtime(1_700_000_000);
    plain.set_size(4);
    plain.set_cksum();
    tar.extend_from_slice(plain.as_bytes());
    tar.extend_from_slice(b"text");
    tar.resize(tar.len().next_multiple_of(512), b'!');
    tar.resize(tar.len() + 1024, 0);
    tar.extend_from_slice(&b"junk, and more of it. ".repeat(100));
    tar
}

/// The only layer of an image that was saved.
fn layer_of(saved: &[u8]) -> Vec<u8> {
    let mut archive = tar::Archive::new(saved);
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut layer = entries.find(|entry| entry.path().unwrap().ends_with("layer.tar")).unwrap();
    let mut contents = Vec::new();
    layer.read_to_end(&mut contents).unwrap();
    contents
}

const LAYERS: &str = "{{.Id}} {{json .RootFS.Layers}}";

fn file(place: &Path, name: &str, contents: &[u8]) -> PathBuf {
    let path = place.join(name);
    fs::write(&path, contents).unwrap();
    path
}

/// Checklist: DF-16~, ID-03~, N-09~
#[test]
fn images_and_containers_travel_between_dockerd_and_us_unchanged() {
    if !docker_is_here() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (root, second_root, docker_root) =
        (place.path().join("ours"), place.path().join("second"), place.path().join("docker"));
    let docker = Docker::start(&docker_root, "overlay2");
    let shown = |path: &Path| path.to_str().unwrap().to_owned();

    // Our image there.
    let tar = shown(&file(place.path(), "tree.tar", &tree("first")));
    ours(&root, &["import", "-c", "CMD [\"sh\"]", "-m", "made here", &tar, "made:here"]);
    let saved = shown(&place.path().join("saved.tar"));
    ours(&root, &["save", "-o", &saved, "made:here"]);
    assert_eq!(text(docker.run(&["load", "-i", &saved])), "Loaded image: made:here");
    let described = text(ours(&root, &["inspect", "--format", LAYERS, "made:here"]));
    assert_eq!(text(docker.run(&["inspect", "--format", LAYERS, "made:here"])), described);
    assert!(docker.run(&["save", "made:here"]) == fs::read(&saved).unwrap(), "dockerd saves other bytes");

    // dockerd's image here.
    let other = shown(&file(place.path(), "other.tar", &tree("second")));
    docker.run(&["import", &other, "made:there"]);
    let from_docker = file(place.path(), "from-docker.tar", &docker.run(&["save", "made:there"]));
    assert_eq!(text(ours(&second_root, &["load", "-i", &shown(&from_docker)])), "Loaded image: made:there");
    let described = text(docker.run(&["inspect", "--format", LAYERS, "made:there"]));
    assert_eq!(text(ours(&second_root, &["inspect", "--format", LAYERS, "made:there"])), described);
    assert!(ours(&second_root, &["save", "made:there"]) == fs::read(&from_docker).unwrap(), "we save other bytes");

    // A container of ours there.
    ours(&root, &["create", "--name", "work", "made:here"]);
    let exported = place.path().join("exported.tar");
    ours(&root, &["export", "-o", &shown(&exported), "work"]);
    docker.run(&["import", &shown(&exported), "exported"]);
    ours(&second_root, &["import", &shown(&exported), "exported"]);
    let layers = "{{json .RootFS.Layers}}";
    let theirs = text(docker.run(&["inspect", "--format", layers, "exported"]));
    assert_eq!(text(ours(&second_root, &["inspect", "--format", layers, "exported"])), theirs);
    docker.run(&["create", "--name", "work", "--network", "none", "made:here"]);
    let names = |tar: &[u8]| -> Vec<PathBuf> {
        let mut archive = tar::Archive::new(tar);
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect()
    };
    assert_eq!(names(&docker.run(&["export", "work"])), names(&fs::read(&exported).unwrap()));
    drop(docker);

    // dockerd on our data root, and we on dockerd's.
    ours(&root, &["rm", "work"]);
    let odd = odd_tree();
    ours(&root, &["import", &shown(&file(place.path(), "odd.tar", &odd)), "odd:here"]);
    let guest = Docker::start(&root, "overlay2");
    assert!(guest.run(&["save", "made:here"]) == fs::read(&saved).unwrap(), "dockerd saves other bytes of our layers");
    assert!(layer_of(&guest.run(&["save", "odd:here"])) == odd, "dockerd saves other bytes of an odd tar");
    drop(guest);
    assert!(ours(&docker_root, &["save", "made:there"]) == fs::read(&from_docker).unwrap(), "we save other bytes");
}

#[test]
fn skopeo_sees_in_our_archive_what_we_see_and_we_load_what_it_writes() {
    let skopeo = |words: &[&str]| Command::new("skopeo").args(words).output();
    if !skopeo(&["--version"]).is_ok_and(|output| output.status.success()) {
        return skip("skopeo", "there is no skopeo");
    }
    if !rustix::process::geteuid().is_root() {
        return skip("root", "owners that are not the caller's need root");
    }
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("ours");
    let tar = file(place.path(), "tree.tar", &tree("first"));
    ours(&root, &["import", tar.to_str().unwrap(), "made:here"]);
    let layers = text(ours(&root, &["inspect", "--format", "{{index .RootFS.Layers 0}}", "made:here"]));
    let saved = place.path().join("saved.tar");
    ours(&root, &["save", "-o", saved.to_str().unwrap(), "made:here"]);
    let source = format!("docker-archive:{}:made:here", saved.display());
    let seen = text(ran(skopeo(&["inspect", "--format", "{{index .Layers 0}}", &source]).unwrap()));
    assert_eq!(seen, layers);
    for (form, archive) in [("docker-archive", "docker.tar"), ("oci-archive", "oci.tar")] {
        let archive = place.path().join(archive);
        let target = format!("{form}:{}:copied:{form}", archive.display());
        ran(skopeo(&["copy", "--insecure-policy", "--quiet", &source, &target]).unwrap());
        let fresh = place.path().join(form);
        let said = text(ours(&fresh, &["load", "-i", archive.to_str().unwrap()]));
        assert_eq!(said, format!("Loaded image: copied:{form}"));
        let name = format!("copied:{form}");
        assert_eq!(text(ours(&fresh, &["inspect", "--format", "{{index .RootFS.Layers 0}}", &name])), layers);
    }
}

/// Runs `load` on `archive`, which it must refuse, and gives what it says; nothing may be left.
fn refused(archive: &[u8]) -> String {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("ours");
    let path = file(place.path(), "archive.tar", archive);
    let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab"));
    command.arg("--data-root").arg(&root).arg("--exec-root").arg(place.path().join("exec"));
    command.args(["load", "-i", path.to_str().unwrap()]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    for directory in ["tmp", "image/overlay2/layerdb/sha256", "image/overlay2/imagedb/content/sha256"] {
        assert_eq!(fs::read_dir(root.join(directory)).unwrap().count(), 0, "{directory}");
    }
    assert!(!place.path().join("evil").exists());
    text(output.stderr)
}

fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, contents) in members {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_size(contents.len() as u64);
        header.set_cksum();
        builder.append(&header, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

fn config(diff_id: &str) -> String {
    format!(r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}}}}"#)
}

/// Checklist: DF-11, GC-09~, CR-02, SE-01
#[test]
fn hostile_and_broken_archives_are_refused_and_leave_nothing() {
    let manifest = br#"[{"Config":"c","RepoTags":["evil:1"],"Layers":["l"]}]"#;
    let layer = archive(&[("f", b"contents")]);
    let wrong = format!("sha256:{}", "a".repeat(64));
    let found = layerlab_engine::image::Digest::of(&layer);
    let with = |config: &str, layer: &[u8]| {
        refused(&archive(&[("c", config.as_bytes()), ("l", layer), ("manifest.json", manifest)]))
    };
    assert_eq!(
        with(&config(&wrong), &layer),
        format!("invalid diffID for layer 0: expected \"{wrong}\", got \"{found}\"")
    );
    let windows = config(&wrong).replace("linux", "windows");
    assert_eq!(with(&windows, &layer), "cannot load windows image on linux");
    let two = config(&format!("{wrong}\",\"{wrong}"));
    assert_eq!(with(&two, &layer), "invalid manifest, layers length mismatch: expected 1, got 2");
    let escaping = archive(&[("../../evil", b"contents")]);
    let id = layerlab_engine::image::Digest::of(&escaping).to_string();
    assert!(with(&config(&id), &escaping).contains("lies outside of it"));
    let outside = br#"[{"Config":"../../../../../../etc/passwd","Layers":[]}]"#;
    assert!(refused(&archive(&[("manifest.json", outside)])).ends_with("/etc/passwd: no such file or directory"));
    assert_eq!(refused(&archive(&[("manifest.json", b"{")])), "unexpected EOF");
    let other = refused(&archive(&[("manifest.json", b"{}")]));
    assert!(
        other.starts_with("manifest.json of the archive: ") && other.ends_with("; save the image again"),
        "{other}"
    );
    assert!(!refused(&archive(&[("index.json", b"[1,}")])).contains("expected"), "the parser's own words");
    assert!(refused(&archive(&[("repositories", b"{}")])).contains("older than 1.10"));
    assert!(refused(b"junk\n").ends_with("unexpected EOF"));
    let whole = archive(&[("manifest.json", &[b' '; 4000])]);
    assert!(refused(&whole[..2000]).ends_with("unexpected EOF"));
    let mut gzip = Vec::new();
    flate2::read::GzEncoder::new(&whole[..], flate2::Compression::fast()).read_to_end(&mut gzip).unwrap();
    assert!(refused(&gzip[..gzip.len() / 2]).ends_with("unexpected EOF"));
}
