//! The packages that are described, assembled, are what Debian's own tools take for packages.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a panic")]

use std::fs;
use std::path::{Path, PathBuf};

use layerlab_scenarios::package::{Package, assemble};
use sha2::{Digest as _, Sha256};

fn descriptions() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packages")
}

fn assembled(directory: &Path) -> PathBuf {
    let guest = directory.join("guest");
    fs::write(&guest, "a program").unwrap();
    let to = directory.join("packages");
    assemble(&descriptions(), &guest, &to).unwrap();
    to
}

/// The fields `Filename`, `Size` and `SHA256` of every stanza.
fn listed(index: &str) -> Vec<[String; 3]> {
    let stanzas = index.split("\n\n").filter(|stanza| !stanza.trim().is_empty());
    let field = |stanza: &str, name: &str| {
        stanza.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned()
    };
    stanzas.map(|stanza| ["Filename", "Size", "SHA256"].map(|name| field(stanza, name))).collect()
}

#[test]
fn every_archive_is_what_its_index_says() {
    let directory = tempfile::tempdir().unwrap();
    let root = assembled(directory.path());
    let mut count = 0;
    for (index, base) in [
        ("ubuntu/dists/xenial/main/binary-amd64/Packages", "ubuntu"),
        ("debian/dists/bullseye/main/binary-amd64/Packages", "debian"),
        ("yum/packages.index", "yum"),
    ] {
        for [file, size, sum] in listed(&fs::read_to_string(root.join(index)).unwrap()) {
            let bytes = fs::read(root.join(base).join(&file)).unwrap();
            assert_eq!((bytes.len().to_string(), hex::encode(Sha256::digest(&bytes))), (size, sum), "{file}");
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn the_same_descriptions_give_the_same_bytes() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let release = |root: PathBuf| fs::read_to_string(root.join("ubuntu/dists/xenial/Release")).unwrap();
    assert_eq!(release(assembled(first.path())), release(assembled(second.path())));
}

#[test]
fn a_deb_opens_as_an_archive_of_three_members() {
    let directory = tempfile::tempdir().unwrap();
    let deb = fs::read(assembled(directory.path()).join("ubuntu/pool/main/curl_7.47.0-1ubuntu2.2_amd64.deb")).unwrap();
    let mut archive = ar::Archive::new(deb.as_slice());
    let mut names = Vec::new();
    while let Some(member) = archive.next_entry() {
        names.push(String::from_utf8(member.unwrap().header().identifier().to_vec()).unwrap());
    }
    assert_eq!(names, ["debian-binary", "control.tar.gz", "data.tar.gz"]);
}

#[test]
fn what_is_wrong_in_a_description_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    let complaint = |text: &str| {
        fs::write(&path, text).unwrap();
        Package::read(&path).unwrap_err().to_string()
    };
    let head = "summary = 'x'\ncreated = '2020-01-02T03:04:05Z'\nfiles = [{ dir = 'usr' }]\n";
    assert!(complaint(head).contains("x.toml: a package without [deb] and [yum]"));
    assert!(complaint(&format!("{head}[deb]\nname = 'a b'\nversion = '1'")).contains("no name and version"));
    let component = format!("{head}[deb]\nname = 'a'\nversion = '1'\ncomponent = 'contrib'");
    assert!(complaint(&component).contains("there are main and universe"));
    assert!(complaint(&head.replace("usr'", "usr/bin'")).contains("above it"));
}
