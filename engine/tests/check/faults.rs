//! Faults, planted one by one: those of the containers-storage suite (`tests/check.bats`), and each loss that was tried on a real
//! dockerd 20.10. Of its cases with read-only stores there is none here: a data root of Docker's is one store.

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
fn a_fault_of_one_image_is_not_found_of_another() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    remove(&split(&house, 2));
    assert_eq!(house.findings(&["base"]).len(), 0);
    let found = house.findings(&["top"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["Layer"], format!("sha256:{}", name(&house.records()[2])));
}
