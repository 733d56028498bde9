//! A repair mends what can be mended and touches nothing else; when it is done, a check finds nothing that it could have mended.
//!
//! Checklist: CR-04~, CR-05~

use std::fs;
use std::os::unix::fs::MetadataExt;

use super::faults::{FAULTS, Fault, Repair, alter, layer, remove, split};
use super::healthy::listing;
use super::house::{House, text};

/// Whether a repair makes a store sound again, in which `contents` were before.
fn repaired(house: &House, fault: &Fault, wrong: &mut Vec<String>) {
    let before = house.contents_or_nothing();
    (fault.plant)(house);
    let told = text(&house.run(&["check", "--repair"], b""));
    let left = house.findings(&[]);
    let after = house.contents_or_nothing();
    let mut report = |why: &str| wrong.push(format!("{}: {}: {why}: {told}\n{left:#?}", house.driver, fault.name));
    if left.iter().any(|finding| finding["Mendable"] == true) {
        report("something that can be mended is left");
    }
    match (fault.repair, left.is_empty()) {
        (Repair::Mends | Repair::Pulls, false) => report("something is left"),
        (Repair::Advises, true) => report("nothing is left"),
        _ => {}
    }
    // Names that were lost are nobody's to give back.
    let names_are_lost = fault.finds.iter().any(|found| ["names", "dangling-name"].contains(found));
    if fault.repair != Repair::Advises && !names_are_lost && before != after {
        report("the image or the container is another than before");
    }
    let sound = listing(&house.data());
    let again = text(&house.run(&["check", "--repair"], b""));
    if again.contains("mended: ") || listing(&house.data()) != sound {
        report(&format!("a second repair did something: {again}"));
    }
}

fn every_fault_is_mended(driver: &'static str) {
    let mut wrong = Vec::new();
    for fault in FAULTS.iter().filter(|fault| fault.drivers.contains(&driver)) {
        repaired(&House::pulled(driver), fault, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_fault_that_can_be_mended_is_mended_with_overlay2() {
    every_fault_is_mended("overlay2");
}

#[test]
fn each_fault_that_can_be_mended_is_mended_with_overlay() {
    every_fault_is_mended("overlay");
}

#[test]
fn each_fault_that_can_be_mended_is_mended_with_vfs() {
    every_fault_is_mended("vfs");
}

#[test]
fn a_repair_of_one_layer_leaves_every_file_of_the_others_as_it_is() {
    let house = House::pulled("overlay2");
    let files = |index: usize| -> Vec<_> {
        let files = house.files(&house.directories()[index]);
        listing(&files).into_iter().map(|found| (fs::symlink_metadata(&found.0).unwrap().ino(), found)).collect()
    };
    let before = (files(0), files(2));
    alter(&layer(&house, 1).join("usr/share/doc/README"), 1);
    house.done(&["check", "--repair"]);
    assert_eq!((files(0), files(2)), before);
    assert_eq!(fs::read_to_string(layer(&house, 1).join("usr/share/doc/README")).unwrap(), "read me\n");
}

#[test]
fn a_layer_that_nobody_has_any_more_is_left_as_it_is_and_that_is_told() {
    let mut house = House::pulled("vfs");
    house.end_registry();
    remove(&split(&house, 1));
    let before = listing(&house.data().join("image"));
    let output = house.run(&["check", "--repair"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("not mended: tar-split.json.gz of the layer"), "{}", text(&output));
    assert_eq!(listing(&house.data().join("image")), before);
}
