//! Faults of the driver's directories.

use std::fs;
use std::os::unix::fs::symlink;

use layerlab_engine::layer::{Files, OverlayXattr, copy_tree};
use layerlab_engine::sys::btrfs;

use super::Repair::{Advises, Mends, Pulls};
use super::{ALL, Fault, LINKED, PARTED, fault};
use crate::damage::{layer, make, remove, short_name, write};

pub const FAULTS: &[Fault] = &[
    fault(
        "a directory of the driver is accounted for by nothing",
        ALL,
        |house| make(&house.home().join("f".repeat(64))),
        &["orphan-directory"],
        Mends,
    ),
    fault(
        "a layer is a directory and no subvolume",
        &["btrfs"],
        |house| {
            let (layer, aside) = (layer(house, 1), house.home().join("aside"));
            fs::create_dir(&aside).unwrap();
            copy_tree(&layer, &aside, Files::Copied, OverlayXattr::None).unwrap();
            remove(&layer);
            fs::rename(aside, layer).unwrap();
        },
        &["subvolume"],
        Mends,
    ),
    fault(
        "a subvolume is accounted for by nothing",
        &["btrfs"],
        |house| btrfs::create(&house.home().join("f".repeat(64))).unwrap(),
        &["orphan-directory"],
        Mends,
    ),
    fault(
        "the subvolume of a container is missing",
        &["btrfs"],
        |house| btrfs::remove(&house.container_directories().0).unwrap(),
        &["directory"],
        Advises,
    ),
    fault("the directory of a layer is missing", ALL, |house| remove(&house.directories()[1]), &["directory"], Pulls),
    fault("diff of a layer's directory is missing", PARTED, |house| remove(&layer(house, 1)), &["directory"], Pulls),
    fault("link is missing", LINKED, |house| remove(&house.directories()[1].join("link")), &["link"], Mends),
    fault("link is none", LINKED, |house| write(&house.directories()[1].join("link"), "x/y"), &["link"], Mends),
    fault("l is missing", LINKED, |house| remove(&house.home().join("l")), &["link"], Mends),
    fault("one short name is missing", LINKED, |house| remove(&short_name(house, 1)), &["link"], Mends),
    fault(
        "one short name leads to another layer",
        LINKED,
        |house| {
            let (one, other) = (short_name(house, 1), short_name(house, 0));
            remove(&one);
            symlink(fs::read_link(other).unwrap(), one).unwrap();
        },
        &["link"],
        Mends,
    ),
    fault(
        "a short name leads nowhere",
        LINKED,
        |house| symlink("../gone/diff", house.home().join("l").join("A".repeat(26))).unwrap(),
        &["link"],
        Mends,
    ),
    fault(
        "lower of a middle layer is missing",
        LINKED,
        |house| remove(&house.directories()[1].join("lower")),
        &["lower"],
        Mends,
    ),
    fault(
        "lower of the top layer is missing",
        LINKED,
        |house| remove(&house.directories()[2].join("lower")),
        &["lower"],
        Mends,
    ),
    fault(
        "lower names too few layers",
        LINKED,
        |house| {
            let path = house.directories()[2].join("lower");
            let text = fs::read_to_string(&path).unwrap();
            write(&path, text.split(':').next().unwrap());
        },
        &["lower"],
        Mends,
    ),
    fault(
        "committed of all layers is missing",
        LINKED,
        |house| {
            house.directories().iter().for_each(|layer| remove(&layer.join("committed")));
        },
        &["lower"],
        Mends,
    ),
    fault(
        "work of all layers is missing",
        LINKED,
        |house| {
            house.directories()[1..].iter().for_each(|layer| remove(&layer.join("work")));
        },
        &["directory"],
        Mends,
    ),
];
