//! The bugs that were reported of container storage and that can be shown here, by plain steps and a comparison, or with a fault, a kill, a second process
//! or another user; by id. Each is seeded, or there is a reason.
//!
//! *Why*: what is not looked for has to be known. *Never*: an id that is neither seeded nor excused. *Proved by*: the test below, which reads the
//! ids from the `Origin:` of each bug.

use std::collections::BTreeSet;

use crate::catalogue::Entry;

/// Every id. The letters say what it is about: copy-up, whiteouts, opaque directories, renames, hard links, inode numbers, lists of names,
/// attributes, permissions, times, differences, applying, tars, digests, garbage, limits of mounts, crashes, several at once, no space, security.
pub const REPORTED: [&str; 115] = [
    "AP-01", "AP-02", "AP-05", "AP-07", "AP-09", "CC-01", "CC-02", "CC-05", "CC-06", "CC-07", "CC-12", "CI-01",
    "CI-02", "CI-07", "CR-01", "CR-04", "CR-06", "CR-09", "CR-10", "CR-11", "CR-13", "CR-15", "CU-01", "CU-02",
    "CU-04", "CU-08", "DF-01", "DF-03", "DF-04", "DF-06", "DF-07", "DF-09", "DF-11", "DF-13", "DF-14", "DF-16",
    "DF-18", "DF-20", "DF-22", "DF-24", "GC-01", "GC-03", "GC-05", "GC-06", "GC-08", "HL-01", "HL-02", "HL-04",
    "HL-07", "HL-09", "IN-01", "IN-02", "IN-04", "IN-06", "ML-01", "ML-02", "NS-01", "NS-03", "OP-01", "OP-02",
    "OP-05", "OP-06", "PM-01", "PM-02", "PM-05", "PM-07", "PM-08", "PM-10", "PM-12", "PM-13", "RD-01", "RD-02",
    "RD-04", "RN-01", "RN-02", "RN-04", "RN-07", "RN-10", "SE-01", "SE-03", "SE-04", "SE-06", "SE-08", "SE-10",
    "SE-13", "SE-17", "SE-19", "TR-01", "TR-03", "TR-04", "TR-06", "TR-09", "TR-11", "TR-13", "TR-15", "TS-01",
    "TS-02", "TS-05", "TS-07", "WH-01", "WH-03", "WH-04", "WH-07", "WH-09", "WH-10", "WH-11", "WH-13", "WH-15",
    "WH-16", "XA-01", "XA-03", "XA-05", "XA-06", "XA-08", "XA-09",
];

/// What is not seeded, and why.
pub const UNSEEDED: [(&str, &str); 6] = [
    (
        "CI-07",
        "there is no such thing here: a data root has one store, and none beside it that is only read (`engine/src/store`)",
    ),
    (
        "DF-22",
        "no bug of storage, but of a suite's comparison: ours is mutated itself, field by field, and each field that it passes over is noticed \
         (`scenarios/properties/tests/comparator.rs`)",
    ),
    (
        "DF-24",
        "no bug of storage, but of a suite's data: ours are drawn from a seed, and the same seed gives the same (`properties/src/generate`)",
    ),
    (
        "PM-13",
        "out of reach: no container has a mapping of its own, and layers have the owners that the image has; those that are unpacked with \
         `--squash-owners` stay so until they are removed, which is said where it is explained",
    ),
    (
        "SE-17",
        "out of reach: copy-up is the kernel's, and it refuses by itself what lies on a file system whose owners it cannot map; whoever mounts such a one as an \
         ordinary user is no subject of the laws, whose layers lie on what root has mounted",
    ),
    (
        "WH-16",
        "it is what dockerd does, and so do we, byte for byte: a file whose name begins with `.wh.` is packed as it is \
         (`scenarios/cases/diff/names-like-whiteouts.md`), and the laws ask for no tar of such a tree",
    ),
];

/// What could be seeded, and is not yet: what there has to be first.
pub const NOT_YET: [(&str, &str); 7] = [
    ("CC-06", "somebody who reads an image while another removes it: a store's acts come one after another"),
    ("CR-06", "its seed: that a driver fails in the midst is there (`properties/src/stores/stumble.rs`)"),
    ("CR-09", "the same"),
    ("CR-10", "the same"),
    ("CR-15", "a registry that breaks off, as a part of a store's acts"),
    ("GC-03", "the same as CR-06"),
    ("NS-03", "the same as CR-06"),
];

/// The ids in an `Origin:`.
pub fn ids(origin: &str) -> BTreeSet<&str> {
    let words = origin.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    words.filter(|word| REPORTED.contains(word)).collect()
}

/// Those of `seeded` and the excused, without which [`REPORTED`] would be longer than it should.
pub fn unaccounted(seeded: &[Entry]) -> BTreeSet<&'static str> {
    let found: BTreeSet<&str> = seeded.iter().flat_map(|entry| ids(&entry.origin)).collect();
    let is_excused = |id: &str| UNSEEDED.iter().chain(&NOT_YET).any(|(excused, _)| *excused == id);
    REPORTED.into_iter().filter(|id| found.contains(id) == is_excused(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn each_is_seeded_or_excused_and_never_both() {
        assert_eq!(unaccounted(&catalogue::all()), BTreeSet::new());
        assert!(
            REPORTED.is_sorted() && [&UNSEEDED[..], &NOT_YET].iter().all(|list| list.is_sorted_by_key(|(id, _)| *id))
        );
    }

    #[test]
    fn every_bug_names_an_id() {
        let without = catalogue::all().into_iter().filter(|entry| ids(&entry.origin).is_empty());
        assert_eq!(without.map(|entry| entry.name).collect::<Vec<_>>(), Vec::<String>::new());
    }
}
