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

/// What a case of the containers-storage suite is here.
#[derive(Debug, Clone, Copy)]
pub enum Case {
    /// The fault of this name.
    Here(&'static str),
    /// The same, in a store that nobody can write to: there it is one below another, here all of a data root (`engine/tests/check/read_only.rs`).
    ReadOnly(&'static str),
    /// That suite wants nothing to be found, for this reason.
    Sound(&'static str),
}

/// Others may use what is in a store that is only read here.
const OTHERS: &str =
    "what nobody here accounts for in a read-only store may be somebody else's; a data root of Docker's is one store";

/// The cases of `tests/check.bats` of containers-storage.
pub const OF_CONTAINERS_STORAGE: [(&str, Case); 21] = [
    ("unmanaged-layers", Case::Here("a directory of the driver is accounted for by nothing")),
    ("unmanaged-ro-layers", Case::Sound(OTHERS)),
    ("unmanaged-rw-layers", Case::Here("a directory of the driver is accounted for by nothing")),
    ("unused-layers", Case::Here("a layer belongs to no image and no container")),
    ("unused-ro-layers", Case::Sound(OTHERS)),
    ("unused-rw-layers", Case::Here("a layer belongs to no image and no container")),
    ("layer-content-digest", Case::Here("a file of a layer was altered")),
    ("ro-layer-content-digest", Case::ReadOnly("a file of a layer was altered")),
    ("layer-content-modified", Case::Here("a file was added to a layer")),
    ("image-layer-missing", Case::Here("a layer of an image has no record")),
    ("ro-image-layer-missing", Case::ReadOnly("a layer of an image has no record")),
    ("container-image-missing", Case::Here("the image of a container is missing")),
    ("container-ro-image-missing", Case::ReadOnly("the image of a container is missing")),
    ("layer-data-missing", Case::Here("data of a layer is missing")),
    ("ro-layer-data-missing", Case::ReadOnly("data of a layer is missing")),
    ("image-data-missing", Case::Here("data of an image is missing")),
    ("ro-image-data-missing", Case::ReadOnly("data of an image is missing")),
    ("image-data-modified", Case::Here("data of an image was altered")),
    ("ro-image-data-modified", Case::ReadOnly("data of an image was altered")),
    ("container-data-missing", Case::Here("config.v2.json is missing")),
    ("container-data-modified", Case::Here("config.v2.json is no JSON")),
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
    let says = |finding: &Value, field: &str| finding[field].as_str().is_some_and(|said| !said.is_empty());
    let is_told = |finding: &Value| ["What", "Where", "Meaning", "Remedy"].iter().all(|field| says(finding, field));
    if let Some(finding) = findings.iter().find(|finding| !is_told(finding)) {
        return Some(format!("something is not told: {finding:#?}"));
    }
    (super::healthy::listing(&house.data()) != before).then(|| "the check changed something".to_owned())
}

#[test]
fn every_fault_of_the_containers_storage_suite_is_planted_here() {
    for (case, same) in OF_CONTAINERS_STORAGE {
        let same = match same {
            Case::Here(same) | Case::ReadOnly(same) => same,
            Case::Sound(why) => {
                assert!(!why.is_empty(), "{case}");
                continue;
            }
        };
        let drivers: BTreeSet<&str> =
            all().filter(|fault| fault.name == same).flat_map(|fault| fault.drivers).copied().collect();
        assert!(drivers.is_superset(&BTreeSet::from(["overlay2", "vfs"])), "{case}: {same}: {drivers:?}");
    }
    let is_read_only = |case: Case| !matches!(case, Case::Here(_));
    assert!(OF_CONTAINERS_STORAGE.iter().all(|(case, same)| case.contains("ro-") == is_read_only(*same)));
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
