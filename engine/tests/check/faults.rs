//! Faults, planted one by one: those of the containers-storage suite ([`OF_CONTAINERS_STORAGE`]), and each loss that was tried on
//! a real dockerd 20.10.

use std::collections::BTreeSet;

use serde_json::Value;

use super::damage::{remove, split};
use super::house::{Ground, House, name};

pub mod containers;
pub mod directories;
pub mod files;
pub mod images;
pub mod leftovers;
pub mod records;

/// One fault: what is done to a store, and which findings tell it.
pub struct Fault {
    pub name: &'static str,
    /// With which drivers it can be.
    pub drivers: &'static [&'static str],
    pub plant: fn(&House),
    /// The kinds of findings, all of them.
    pub finds: &'static [&'static str],
    /// What a repair does about it.
    pub repair: Repair,
}

/// What a repair does about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// All is sound again, with what is here.
    Mends,
    /// All is sound again when the image can be pulled.
    Pulls,
    /// Something is lost for good: that stays found, with advice.
    Advises,
}

const ALL: &[&str] = &["overlay2", "overlay", "vfs", "btrfs", "fuse-overlayfs"];
/// Those whose layers have short names.
const LINKED: &[&str] = &["overlay2", "fuse-overlayfs"];
const WHOLE: &[&str] = &["overlay", "vfs", "btrfs"];
/// Those that keep more than files in a layer's directory.
const PARTED: &[&str] = &["overlay2", "overlay", "fuse-overlayfs"];

/// Every fault.
pub fn all() -> impl Iterator<Item = &'static Fault> {
    let all =
        [files::FAULTS, records::FAULTS, directories::FAULTS, images::FAULTS, containers::FAULTS, leftovers::FAULTS];
    all.into_iter().flatten()
}

/// The cases of `tests/check.bats` of containers-storage, and the fault here that is the same. Eight of its 21 are
/// about a second, read-only store below the first: a data root of Docker's is one store, so that there is no such fault.
const OF_CONTAINERS_STORAGE: [(&str, Option<&str>); 21] = [
    ("unmanaged-layers", Some("a directory of the driver is accounted for by nothing")),
    ("unmanaged-ro-layers", None),
    ("unmanaged-rw-layers", Some("a directory of the driver is accounted for by nothing")),
    ("unused-layers", Some("a layer belongs to no image and no container")),
    ("unused-ro-layers", None),
    ("unused-rw-layers", Some("a layer belongs to no image and no container")),
    ("layer-content-digest", Some("a file of a layer was altered")),
    ("ro-layer-content-digest", None),
    ("layer-content-modified", Some("a file was added to a layer")),
    ("image-layer-missing", Some("a layer of an image has no record")),
    ("ro-image-layer-missing", None),
    ("container-image-missing", Some("the image of a container is missing")),
    ("container-ro-image-missing", None),
    ("layer-data-missing", Some("data of a layer is missing")),
    ("ro-layer-data-missing", None),
    ("image-data-missing", Some("data of an image is missing")),
    ("ro-image-data-missing", None),
    ("image-data-modified", Some("data of an image was altered")),
    ("ro-image-data-modified", None),
    ("container-data-missing", Some("config.v2.json is missing")),
    ("container-data-modified", Some("config.v2.json is no JSON")),
];

const fn fault(
    name: &'static str,
    drivers: &'static [&'static str],
    plant: fn(&House),
    finds: &'static [&'static str],
    repair: Repair,
) -> Fault {
    Fault { name, drivers, plant, finds, repair }
}

/// What is wrong with what a check finds of a fault that was planted.
pub fn found_wrongly(house: &House, fault: &Fault) -> Option<String> {
    let before = super::healthy::listing(&house.data());
    let findings = house.findings(&[]);
    let found: BTreeSet<&str> = findings.iter().map(|finding| finding["Fault"].as_str().unwrap()).collect();
    if found != fault.finds.iter().copied().collect() {
        return Some(format!("{:?} was expected, and found was {findings:#?}", fault.finds));
    }
    let is_told = |finding: &Value| ["What", "Where", "Meaning", "Remedy"].iter().all(|field| finding[field] != "");
    if let Some(finding) = findings.iter().find(|finding| !is_told(finding)) {
        return Some(format!("something is not told: {finding:#?}"));
    }
    (super::healthy::listing(&house.data()) != before).then(|| "the check changed something".to_owned())
}

#[test]
fn every_fault_of_the_containers_storage_suite_is_planted_here() {
    for (case, same) in OF_CONTAINERS_STORAGE.iter().filter_map(|(case, same)| Some((case, (*same)?))) {
        let drivers: BTreeSet<&str> =
            all().filter(|fault| fault.name == same).flat_map(|fault| fault.drivers).copied().collect();
        assert!(drivers.is_superset(&BTreeSet::from(["overlay2", "vfs"])), "{case}: {same}: {drivers:?}");
    }
    assert_eq!(OF_CONTAINERS_STORAGE.iter().filter(|(case, same)| case.contains("ro-") == same.is_some()).count(), 0);
}

#[test]
fn a_fault_of_one_image_is_not_found_of_another() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    remove(&split(&house, 2));
    assert_eq!(house.findings(&["base"]).len(), 0);
    let found = house.findings(&["top"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["Layer"], format!("sha256:{}", name(&house.records()[2])));
}
