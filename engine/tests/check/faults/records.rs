//! Faults of layers' records.

use std::fs;

use super::Repair::{Mends, Pulls};
use super::{ALL, Fault, fault};
use crate::damage::{forget_image, remove, split, write};
use crate::house::name;

pub const FAULTS: &[Fault] = &[
    fault(
        "a layer belongs to no image and no container",
        ALL,
        |house| {
            house.done(&["rm", "cc"]);
            forget_image(house);
            write(&house.image().join("repositories.json"), "{\"Repositories\":{}}");
        },
        &["unused-layer"],
        Mends,
    ),
    fault(
        "a layer of an image has no record",
        ALL,
        |house| remove(&house.records()[1]),
        &["image-layer", "orphan-directory"],
        Pulls,
    ),
    fault("data of a layer is missing", ALL, |house| remove(&split(house, 1)), &["tar-split"], Pulls),
    fault("data of a layer was altered", ALL, |house| write(&split(house, 1), "garbage"), &["tar-split"], Pulls),
    fault(
        "tar-split.json.gz of every layer is missing",
        ALL,
        |house| (0..3).for_each(|index| remove(&split(house, index))),
        &["tar-split"],
        Pulls,
    ),
    fault(
        "cache-id is missing",
        ALL,
        |house| remove(&house.records()[1].join("cache-id")),
        &["layer-record", "orphan-directory"],
        Mends,
    ),
    fault(
        "cache-id is empty",
        ALL,
        |house| write(&house.records()[1].join("cache-id"), ""),
        &["layer-record", "orphan-directory"],
        Mends,
    ),
    fault(
        "cache-id names no directory",
        ALL,
        |house| write(&house.records()[2].join("cache-id"), &"f".repeat(64)),
        &["directory", "orphan-directory"],
        Mends,
    ),
    fault(
        "cache-id is another layer's",
        ALL,
        |house| {
            let other = fs::read(house.records()[0].join("cache-id")).unwrap();
            fs::write(house.records()[2].join("cache-id"), other).unwrap();
        },
        &["layer-record", "orphan-directory"],
        Mends,
    ),
    fault("diff is missing", ALL, |house| remove(&house.records()[1].join("diff")), &["layer-record"], Mends),
    fault("diff is no digest", ALL, |house| write(&house.records()[1].join("diff"), "x"), &["layer-record"], Mends),
    fault(
        "diff is another layer's",
        ALL,
        |house| {
            let other = fs::read(house.records()[0].join("diff")).unwrap();
            fs::write(house.records()[1].join("diff"), other).unwrap();
        },
        &["chain-id"],
        Mends,
    ),
    fault("size is missing", ALL, |house| remove(&house.records()[1].join("size")), &["layer-record"], Mends),
    fault("size is wrong", ALL, |house| write(&house.records()[1].join("size"), "12345"), &["layer-size"], Mends),
    fault("size is not a number", ALL, |house| write(&house.records()[1].join("size"), "x"), &["layer-record"], Mends),
    fault("parent is missing", ALL, |house| remove(&house.records()[1].join("parent")), &["layer-record"], Mends),
    fault(
        "parent is the layer's own",
        ALL,
        |house| {
            let own = format!("sha256:{}", name(&house.records()[2]));
            write(&house.records()[2].join("parent"), &own);
        },
        &["layer-record"],
        Mends,
    ),
    fault(
        "a base layer has a parent",
        ALL,
        |house| {
            let other = format!("sha256:{}", name(&house.records()[2]));
            write(&house.records()[0].join("parent"), &other);
        },
        &["layer-record"],
        Mends,
    ),
    fault(
        "layerdb is missing",
        ALL,
        |house| remove(&house.image().join("layerdb")),
        &["image-layer", "layer-record", "mount-record", "orphan-directory"],
        Pulls,
    ),
];
