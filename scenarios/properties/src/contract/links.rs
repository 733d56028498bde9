//! The promise about names of one file: they are one file again wherever a layer is applied, whatever of them changed.
//!
//! Checklist: HL-10

use std::fs;

use super::canonical::{canonical, differences};
use super::scene::Scene;

/// A container gives names of the image further names, and takes names from a file: its layer says the same on every driver, and all that are one
/// file are one where it is applied. dockerd's layer says so on `overlay2` alone.
pub fn names_of_one_file_are_one_file_where_the_layer_is_applied(scene: &Scene) {
    scene.layer_of("base", None, |root| {
        for directory in ["a", "b", "c"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        for file in ["a/alone", "a/other", "a/pair", "b/kept"] {
            fs::write(root.join(file), file).unwrap();
        }
        fs::hard_link(root.join("a/pair"), root.join("b/pair")).unwrap();
        fs::hard_link(root.join("b/kept"), root.join("c/kept")).unwrap();
    });
    scene.container("c", "base");
    scene.edit("c", |root| {
        // A later name, and an earlier one in a directory of its own.
        fs::hard_link(root.join("a/alone"), root.join("b/new")).unwrap();
        fs::create_dir(root.join("Earlier")).unwrap();
        fs::hard_link(root.join("a/other"), root.join("Earlier/new")).unwrap();
        fs::remove_file(root.join("b/pair")).unwrap();
    });
    let shown = scene.tree("c");
    assert!(shown[std::path::Path::new("b/new")].ends_with("the same as a/alone"), "{shown:?}");
    let (own, walked) = (scene.tar("c", Some("c-init")), scene.walked("c", "c-init"));
    let below = scene.tree("base");
    assert_eq!(differences(&canonical(&own, &below), &canonical(&walked, &below)), "");
    let names = |tar: &[u8]| {
        let mut archive = tar::Archive::new(tar);
        let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    let expected = ["Earlier/", "Earlier/new", "a/", "a/alone", "a/other", "b/", "b/.wh.pair", "b/new"];
    assert_eq!((names(&own), names(&walked)), (expected.map(str::to_owned).into(), expected.map(str::to_owned).into()));
    // What people are told is Docker's.
    assert_eq!(
        scene.changes("c", "c-init"),
        ["A /Earlier", "A /Earlier/new", "C /b", "A /b/new", "D /b/pair"],
        "the names that are as before are not told"
    );
    scene.apply("again", Some("base"), &own);
    assert_eq!(scene.tree("again"), shown);
}
