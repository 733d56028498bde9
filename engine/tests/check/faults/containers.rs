//! Faults of containers: their records, mounts and own layers.

use std::fs;

use super::Repair::{Advises, Mends};
use super::{ALL, Fault, PARTED, fault};
use crate::damage::{remove, write};

pub const FAULTS: &[Fault] = &[
    fault(
        "the mount of a container is missing",
        ALL,
        |house| remove(&house.container().1),
        &["mount-record", "orphan-directory"],
        Mends,
    ),
    fault("init-id is missing", ALL, |house| remove(&house.container().1.join("init-id")), &["mount-record"], Mends),
    fault(
        "parent of a container is missing",
        ALL,
        |house| remove(&house.container().1.join("parent")),
        &["mount-record"],
        Mends,
    ),
    fault(
        "mount-id is missing",
        ALL,
        |house| remove(&house.container().1.join("mount-id")),
        &["mount-record", "orphan-directory"],
        Mends,
    ),
    fault(
        "the layer of mount points is missing",
        ALL,
        |house| remove(&house.container_directories().1),
        &["directory"],
        Advises,
    ),
    fault(
        "the own layer of a container is missing",
        ALL,
        |house| remove(&house.container_directories().0),
        &["directory"],
        Advises,
    ),
    fault(
        "the files of the own layer are missing",
        PARTED,
        |house| {
            let files = if house.driver == "overlay" { "upper" } else { "diff" };
            remove(&house.container_directories().0.join(files));
        },
        &["directory"],
        Advises,
    ),
    fault(
        "lower-id of a container is missing",
        &["overlay"],
        |house| remove(&house.container_directories().0.join("lower-id")),
        &["lower"],
        Mends,
    ),
    fault(
        "config.v2.json is missing",
        ALL,
        |house| remove(&house.container().0.join("config.v2.json")),
        &["container-record"],
        Advises,
    ),
    fault(
        "config.v2.json is no JSON",
        ALL,
        |house| write(&house.container().0.join("config.v2.json"), "x"),
        &["container-record"],
        Advises,
    ),
    fault(
        "hostconfig.json is missing",
        ALL,
        |house| remove(&house.container().0.join("hostconfig.json")),
        &["container-record"],
        Advises,
    ),
    fault(
        "containers are missing",
        ALL,
        |house| remove(&house.data().join("containers")),
        &["container-record"],
        Advises,
    ),
    fault(
        "a container counts as running that nobody watches",
        ALL,
        |house| {
            let path = house.container().0.join("config.v2.json");
            let text = fs::read_to_string(&path).unwrap();
            write(&path, &text.replace("\"Running\":false", "\"Running\":true"));
        },
        &["unwatched"],
        Mends,
    ),
];
