//! The bugs that were reported of container storage and that plain steps and a comparison can show, by id; each is seeded, or there is a reason.
//!
//! *Why*: what is not looked for has to be known. *Never*: an id that is neither seeded nor excused. *Proved by*: the test below, which reads the
//! ids from the `Origin:` of each bug.

use std::collections::BTreeSet;

use crate::catalogue::Entry;

/// Every id. The letters say what it is about: copy-up, whiteouts, opaque directories, renames, hard links, inode numbers, lists of names,
/// attributes, permissions, times, differences, applying, tars, digests, garbage, limits of mounts, security.
pub const REPORTED: [&str; 87] = [
    "AP-01", "AP-02", "AP-05", "AP-07", "AP-09", "CI-01", "CI-02", "CU-01", "CU-02", "CU-08", "DF-01", "DF-04",
    "DF-06", "DF-07", "DF-09", "DF-11", "DF-13", "DF-14", "DF-16", "DF-18", "DF-20", "DF-22", "DF-24", "GC-01",
    "GC-05", "GC-08", "HL-01", "HL-02", "HL-07", "HL-09", "IN-01", "IN-02", "IN-04", "IN-06", "ML-01", "ML-02",
    "OP-01", "OP-02", "OP-05", "OP-06", "PM-01", "PM-02", "PM-07", "PM-08", "PM-10", "PM-12", "PM-13", "RD-01",
    "RD-02", "RD-04", "RN-01", "RN-02", "RN-04", "RN-07", "RN-10", "SE-03", "SE-04", "SE-08", "SE-10", "SE-13",
    "SE-19", "TR-01", "TR-03", "TR-04", "TR-06", "TR-11", "TR-13", "TR-15", "TS-01", "TS-02", "TS-05", "TS-07",
    "WH-01", "WH-03", "WH-04", "WH-07", "WH-09", "WH-10", "WH-11", "WH-13", "WH-15", "WH-16", "XA-01", "XA-03",
    "XA-05", "XA-06", "XA-08",
];

/// What is not seeded, and why.
pub const UNSEEDED: [(&str, &str); 4] = [
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
        "out of reach: layers are stored with the owners that the image has, for every container, so that there is no mapping to mix up; \
         ordinary users have one data root each",
    ),
    (
        "WH-16",
        "it is what dockerd does, and so do we, byte for byte: a file whose name begins with `.wh.` is packed as it is \
         (`scenarios/cases/diff/names-like-whiteouts.md`), and the laws ask for no tar of such a tree",
    ),
];

/// The ids in an `Origin:`.
pub fn ids(origin: &str) -> BTreeSet<&str> {
    let words = origin.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-'));
    words.filter(|word| REPORTED.contains(word)).collect()
}

/// Those of `seeded` and the excused, without which [`REPORTED`] would be longer than it should.
pub fn unaccounted(seeded: &[Entry]) -> BTreeSet<&'static str> {
    let found: BTreeSet<&str> = seeded.iter().flat_map(|entry| ids(&entry.origin)).collect();
    let is_excused = |id: &str| UNSEEDED.iter().any(|(excused, _)| *excused == id);
    REPORTED.into_iter().filter(|id| found.contains(id) == is_excused(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue;

    #[test]
    fn each_is_seeded_or_excused_and_never_both() {
        assert_eq!(unaccounted(&catalogue::all()), BTreeSet::new());
        assert!(REPORTED.is_sorted() && UNSEEDED.is_sorted_by_key(|(id, _)| *id));
    }

    #[test]
    fn every_bug_names_an_id() {
        let without = catalogue::all().into_iter().filter(|entry| ids(&entry.origin).is_empty());
        assert_eq!(without.map(|entry| entry.name).collect::<Vec<_>>(), Vec::<String>::new());
    }
}
