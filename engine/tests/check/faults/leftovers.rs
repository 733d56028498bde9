//! What commands that were killed leave.

use super::Repair::Mends;
use super::{ALL, Fault, fault};
use crate::damage::make;

pub const FAULTS: &[Fault] = &[
    fault(
        "a command was killed while it unpacked",
        ALL,
        |house| make(&house.data().join("tmp/pull-aaaaaa")),
        &["half-made"],
        Mends,
    ),
    fault(
        "a command was killed while it made a layer",
        ALL,
        |house| {
            let id = "e".repeat(64);
            house.noted(&format!("cache {id}\n"));
            make(&house.home().join(id));
        },
        &["half-made", "orphan-directory"],
        Mends,
    ),
    fault(
        "a record was put aside and forgotten",
        ALL,
        |house| make(&house.image().join("layerdb/tmp/write-set-x")),
        &["half-made"],
        Mends,
    ),
    fault(
        "the directory of a container holds nothing",
        ALL,
        |house| make(&house.data().join("containers").join("d".repeat(64))),
        &["half-made"],
        Mends,
    ),
];
