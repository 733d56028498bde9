//! Images come out the same of the same descriptions and the same guest, and what is wrong in a description is said.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking, as the test does")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use layerlab_scenarios::image::{
    Assembled, Damage, Description, ImageError, Layout, MediaTypes, Userland, assemble, damage,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

fn descriptions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("images")
}

/// An ELF header of x86-64 and some content that compresses neither too well nor not at all.
fn fake_guest(directory: &Path) -> Userland {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    let mut state: u32 = 1;
    for _ in 0..300_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.push((state >> 24) as u8 & 0x3f);
    }
    let binary = directory.join("guest");
    fs::write(&binary, bytes).unwrap();
    let applets = ["sh", "bash", "cat", "ls", "env", "httpd-foreground", "cat"];
    Userland { binary, applets: applets.map(str::to_owned).to_vec() }
}

fn assembled(directory: &Path) -> (Layout, Vec<Assembled>) {
    let store = directory.join("store");
    let images = assemble(&descriptions(), &fake_guest(directory), &store).unwrap();
    (Layout::at(store), images)
}

fn find<'a>(images: &'a [Assembled], name: &str) -> &'a Assembled {
    images.iter().find(|image| image.name == name).unwrap()
}

fn untar(layout: &Layout, digest: &str) -> Vec<u8> {
    let mut tar = Vec::new();
    GzDecoder::new(layout.open_blob(digest).unwrap()).read_to_end(&mut tar).unwrap();
    tar
}

/// One line per entry: type, mode, owner, size, path and link target.
fn list(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    let line = |entry: tar::Entry<&[u8]>| {
        let header = entry.header();
        let kind = match header.entry_type() {
            tar::EntryType::Directory => 'd',
            tar::EntryType::Symlink => 'l',
            tar::EntryType::Link => 'h',
            _ => '-',
        };
        let (mode, uid, gid) = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap());
        let path = entry.path().unwrap().display().to_string();
        let link = entry.link_name().unwrap().map(|to| format!(" -> {}", to.display())).unwrap_or_default();
        format!("{kind} {mode:04o} {uid}:{gid} {} {path}{link}", entry.size())
    };
    archive.entries().unwrap().map(|entry| line(entry.unwrap())).collect()
}

fn one(text: &str) -> Result<Description, ImageError> {
    Description::parse(Path::new("x.toml"), text)
}

/// A description with these entries in its one layer.
fn with_layer(entries: &str) -> String {
    format!(
        "name = 'x'\ntags = ['latest']\nmedia_types = 'oci'\ncreated = '2020-01-02T03:04:05Z'\n\
         [[history]]\ncreated_by = 'ADD'\nlayer = [{entries}]\n"
    )
}

fn complaint(entries: &str) -> String {
    one(&with_layer(entries)).unwrap_err().to_string()
}

#[test]
fn every_description_parses_and_is_named_like_its_file() {
    let mut count = 0;
    for entry in fs::read_dir(descriptions()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let image = Description::read(&path).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(path.file_stem().unwrap().to_str(), Some(image.name.rsplit('/').next().unwrap()));
            count += 1;
        }
    }
    assert!(count >= 6, "the six images of the documents are described");
}

#[test]
fn digests_follow_from_the_descriptions_and_the_guest_alone() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, images) = assembled(first.path());
    assert_eq!(images, assembled(second.path()).1);
    let digests: Vec<(&str, &str)> = images.iter().map(|i| (i.name.as_str(), i.digest.as_str())).collect();
    // If a description changed, so must these. If none did, images are not reproducible any more: find out why first.
    assert_eq!(
        digests,
        [
            ("bash", "sha256:278049f12b70d92eb620adf80deddf23330a8fbb0c31f89f7348bd506dc02aae"),
            ("centos", "sha256:0fd5f33459950bef89fce741c45f57bf74bf3c01596e8032fbaf7e0f9b200870"),
            ("httpd", "sha256:584200171a6aa44c4d9f166046233eb96e05bc50ca8a0a3c840f613ab25a5235"),
            ("nginx", "sha256:9635f2ed7d99109fee7aec01198c8ddad52fefcea88132695ba3ff0ed8716310"),
            ("oraclelinux", "sha256:c69101fce41dc6043a11bdc35b8d3b2af6a4cf9c86514f65473c2468b14cea3f"),
            ("ubuntu", "sha256:e9038205dcc87166f783a4572e662c54a611783f6f1471e8c7946f46a5c8cddc"),
        ]
    );
}

#[test]
fn every_digest_and_size_in_the_store_is_true() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, images) = assembled(directory.path());
    let mut count = 0;
    for blob in fs::read_dir(layout.path().join("blobs/sha256")).unwrap() {
        let path = blob.unwrap().path();
        let hex = hex::encode(Sha256::digest(fs::read(&path).unwrap()));
        assert_eq!(path.file_name().unwrap().to_str(), Some(hex.as_str()));
        count += 1;
    }
    let layers: usize = images.iter().map(|image| image.layers.len()).sum();
    assert_eq!(layers, 3 + 1 + 5 + 6 + 2 + 5, "bash, centos, httpd, nginx, oraclelinux, ubuntu");
    assert_eq!(count, layers + 2 * images.len() + 1, "each has a config and a manifest, and centos an index");
    for layer in images.iter().flat_map(|image| &image.layers) {
        let tar = untar(&layout, &layer.digest);
        assert_eq!(layer.diff_id, format!("sha256:{}", hex::encode(Sha256::digest(tar))));
    }
}

#[test]
fn the_httpd_layers_list_as_described() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, images) = assembled(directory.path());
    let layers: Vec<Vec<String>> =
        find(&images, "httpd").layers.iter().map(|layer| list(&untar(&layout, &layer.digest))).collect();
    assert_eq!(layers.len(), 5);
    let base = &layers[0];
    for line in [
        "- 0755 0:0 300020 bin/layerlab-guest",
        "l 0777 0:0 0 bin/bash -> layerlab-guest",
        "d 0700 0:0 0 root/",
        "d 1777 0:0 0 tmp/",
    ] {
        assert!(base.iter().any(|l| l == line), "{line} is not in {base:#?}");
    }
    assert_eq!(base.iter().filter(|line| line.contains("bin/cat")).count(), 1);
    assert!(!base.iter().any(|line| line.contains("httpd-foreground")));
    assert_eq!(layers[1], ["d 0755 0:0 0 usr/", "d 0755 0:0 0 usr/local/", "d 0755 0:0 0 usr/local/apache2/"]);
    assert!(layers[3].contains(&"- 0644 0:0 45 usr/local/apache2/htdocs/index.html".to_owned()));
    assert!(layers[3].contains(&"- 0000 0:0 0 usr/share/doc/.wh.README".to_owned()));
    assert!(layers[4].last().unwrap().ends_with("usr/local/bin/httpd-foreground -> /bin/layerlab-guest"));
}

#[test]
fn the_httpd_config_is_what_docker_writes() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, images) = assembled(directory.path());
    let httpd = find(&images, "httpd");
    let config = layout.read_json(&httpd.image_id).unwrap();
    let keys: Vec<&String> = config["config"].as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        [
            "Hostname",
            "Domainname",
            "User",
            "AttachStdin",
            "AttachStdout",
            "AttachStderr",
            "ExposedPorts",
            "Tty",
            "OpenStdin",
            "StdinOnce",
            "Env",
            "Cmd",
            "Image",
            "Volumes",
            "WorkingDir",
            "Entrypoint",
            "OnBuild",
            "Labels",
            "StopSignal"
        ]
    );
    assert_eq!(config["config"]["Cmd"], json!(["httpd-foreground"]));
    assert_eq!(config["config"]["ExposedPorts"], json!({"80/tcp": {}}));
    assert_eq!(config["config"]["Entrypoint"], Value::Null);
    assert_eq!(config["architecture"], "amd64");
    let history = config["history"].as_array().unwrap();
    let layers = history.iter().filter(|step| step["empty_layer"] != true).count();
    assert_eq!((layers, config["rootfs"]["diff_ids"].as_array().unwrap().len()), (5, 5));
    let manifest = layout.read_json(&httpd.manifest_digest).unwrap();
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(manifest["layers"][4]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
}

#[test]
fn an_oci_image_may_stand_behind_an_index() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, images) = assembled(directory.path());
    let centos = find(&images, "centos");
    assert_eq!(centos.media_types, MediaTypes::Oci);
    let index = layout.read_json(&centos.digest).unwrap();
    assert_eq!(index["manifests"][0]["digest"], centos.manifest_digest);
    assert_eq!(index["manifests"][0]["platform"], json!({"architecture": "amd64", "os": "linux"}));
    assert_eq!(centos.layers.len(), 1);
}

#[test]
fn an_unchanged_store_is_used_as_it_is_and_a_damaged_one_built_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, images) = assembled(directory.path());
    let inode = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(layout.path()).unwrap());
    let before = inode();
    assert_eq!(assembled(directory.path()).1, images);
    assert_eq!(inode(), before, "the same store");
    fs::write(layout.blob_path(&images[0].layers[0].digest).unwrap(), "cut").unwrap();
    assert_eq!(assembled(directory.path()).1, images);
    assert_ne!(inode(), before, "a new store");
    let names: BTreeMap<_, _> = fs::read_dir(directory.path()).unwrap().map(|e| (e.unwrap().file_name(), ())).collect();
    assert_eq!(names.len(), 2, "only guest and store are left: {names:?}");
}

#[test]
fn a_changed_guest_gives_a_new_store_and_new_digests() {
    let directory = tempfile::tempdir().unwrap();
    let (layout, before) = assembled(directory.path());
    let mut userland = fake_guest(directory.path());
    userland.applets.push("wc".into());
    let after = assemble(&descriptions(), &userland, layout.path()).unwrap();
    assert_ne!(find(&before, "httpd").layers[0], find(&after, "httpd").layers[0]);
    assert_eq!(find(&before, "httpd").layers[1..], find(&after, "httpd").layers[1..]);
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("home");
    fs::create_dir(&store).unwrap();
    fs::write(store.join("letter"), "dear").unwrap();
    let error = assemble(&descriptions(), &fake_guest(directory.path()), &store).unwrap_err();
    assert!(matches!(error, ImageError::NotAStore { .. }), "{error}");
    assert_eq!(fs::read_to_string(store.join("letter")).unwrap(), "dear");
}

#[test]
fn a_guest_that_cannot_run_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let binary = directory.path().join("script");
    fs::write(&binary, "#!/bin/sh\n").unwrap();
    let userland = Userland { binary, applets: vec![] };
    let error = assemble(&descriptions(), &userland, &directory.path().join("store")).unwrap_err().to_string();
    assert!(error.contains("it is no ELF file"), "{error}");
}

#[test]
fn two_descriptions_of_one_tag_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let texts = directory.path().join("texts");
    fs::create_dir(&texts).unwrap();
    for name in ["a.toml", "b.toml"] {
        fs::write(texts.join(name), with_layer("{ dir = 'a' }")).unwrap();
    }
    let error =
        assemble(&texts, &fake_guest(directory.path()), &directory.path().join("store")).unwrap_err().to_string();
    assert!(error.contains("b.toml") && error.contains("x:latest"), "{error}");
}

#[test]
fn long_names_and_fractions_of_seconds_travel_in_pax_records() {
    let directory = tempfile::tempdir().unwrap();
    let texts = directory.path().join("texts");
    fs::create_dir(&texts).unwrap();
    let name = "n".repeat(150);
    let target = "t".repeat(120);
    let entries = format!(
        "{{ dir = 'd' }}, {{ file = 'd/{name}', text = 'x', mode = 0o4755, owner = '5:6' }}, \
         {{ hardlink = 'h', to = 'd/{name}' }}, {{ symlink = 's', to = '{target}' }}, \
         {{ file = 'fine', text = '', mtime = '2020-01-02T03:04:05.678Z' }}, {{ opaque = 'd' }}"
    );
    fs::write(texts.join("x.toml"), with_layer(&entries)).unwrap();
    let store = directory.path().join("store");
    let images = assemble(&texts, &fake_guest(directory.path()), &store).unwrap();
    let tar = untar(&Layout::at(&store), &images[0].layers[0].digest);
    assert_eq!(
        list(&tar),
        [
            "d 0755 0:0 0 d/".to_owned(),
            format!("- 4755 5:6 1 d/{name}"),
            format!("h 4755 5:6 0 h -> d/{name}"),
            format!("l 0777 0:0 0 s -> {target}"),
            "- 0644 0:0 0 fine".to_owned(),
            "- 0000 0:0 0 d/.wh..wh..opq".to_owned(),
        ]
    );
    let text = String::from_utf8_lossy(&tar).into_owned();
    assert!(text.contains("mtime=1577934245.678000000\n"));
}

#[test]
fn what_is_wrong_in_a_description_is_said() {
    let good = with_layer("{ dir = 'a' }");
    assert!(one(&good).is_ok());
    for (entries, said) in [
        ("{ file = 'a/b', text = '' }", "write { dir = \"a\" } above it"),
        ("{ dir = 'a' }, { dir = 'a' }", "stands twice"),
        ("{ dir = '/a' }", "must be relative"),
        ("{ dir = 'a/..' }", "must be relative"),
        ("{ dir = 'a', file = 'a' }", "says both"),
        ("{ mode = 0o755 }", "needs one of dir, file"),
        ("{ file = 'a' }", "needs `text` or `guest = true`"),
        ("{ dir = 'a', text = 'x' }", "`text` has no meaning"),
        ("{ symlink = 'a' }", "a link needs `to`"),
        ("{ hardlink = 'a', to = 'b' }", "needs the file \"b\" above it"),
        ("{ dir = 'a', mode = 755000 }", "beyond 0o7777"),
        ("{ dir = 'a', owner = 'root' }", "no UID:GID"),
        ("{ dir = 'a', mtime = 'noon' }", "no RFC 3339 time"),
        ("{ dir = 'a', colour = 'red' }", "unknown field `colour`"),
    ] {
        let found = complaint(entries);
        assert!(found.contains("x.toml") && found.contains(said), "{entries}: {found}");
    }
    for (from, to, said) in [
        ("name = 'x'", "name = 'X'", "no repository name"),
        ("['latest']", "[]", "at least one tag"),
        ("['latest']", "['a b']", "no tag"),
        ("'oci'", "'oci'\ndocker_version = '20'", "Docker's format only"),
        ("'ADD'", "'ADD'\nempty_layer = true", "keep one"),
    ] {
        let found = one(&good.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(found.contains(said), "{to}: {found}");
    }
}

#[test]
fn a_damaged_image_lies_in_one_place_and_is_consistent_elsewhere() {
    for kind in [
        Damage::BrokenGzip { layer: 0 },
        Damage::BadGzipChecksum { layer: 2 },
        Damage::ShortGzip { layer: 3 },
        Damage::NoTar { layer: 1 },
        Damage::LyingDiffId { layer: 4 },
        Damage::MissingDiffId,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (layout, before) = assembled(directory.path());
        let digest = damage(&layout, "httpd", "latest", kind).unwrap();
        let tagged = layout.tagged().unwrap().into_iter().find(|tagged| tagged.name == "httpd").unwrap();
        let (top, manifest) = layout.manifest_of(&tagged.descriptor).unwrap();
        assert_eq!(top.digest, digest);
        let parts = layout.parts_of(&digest, &manifest).unwrap();
        for part in &parts {
            let bytes = fs::read(layout.blob_path(&part.digest).unwrap()).unwrap();
            assert_eq!(bytes.len() as u64, part.size_bytes);
            assert_eq!(part.digest, format!("sha256:{}", hex::encode(Sha256::digest(bytes))));
        }
        let config = layout.read_json(&parts[0].digest).unwrap();
        let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
        let wrong: Vec<usize> = (0..5)
            .filter(|at| {
                let mut tar = Vec::new();
                let sound = GzDecoder::new(layout.open_blob(&parts[at + 1].digest).unwrap()).read_to_end(&mut tar);
                let diff_id = format!("sha256:{}", hex::encode(Sha256::digest(&tar)));
                sound.is_err() || diff_ids.get(*at) != Some(&json!(diff_id))
            })
            .collect();
        let expected = match kind {
            Damage::BadGzipChecksum { layer }
            | Damage::BrokenGzip { layer }
            | Damage::ShortGzip { layer }
            | Damage::LyingDiffId { layer } => vec![layer],
            Damage::NoTar { .. } => vec![],
            Damage::MissingDiffId => vec![4],
        };
        assert_eq!(wrong, expected, "{kind:?}");
        assert_eq!(assembled(directory.path()).1, before, "assembling again heals the store");
    }
}
