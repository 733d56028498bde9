//! Faults of configurations, names and what else is known of images.

use std::fs;

use super::Repair::{Advises, Mends, Pulls};
use super::{ALL, Fault, fault};
use crate::damage::{facts, forget_image, make, remove, write};

pub const FAULTS: &[Fault] = &[
    fault("the image of a container is missing", ALL, forget_image, &["container-image", "image-config"], Pulls),
    fault("data of an image is missing", ALL, |house| remove(&facts(house)), &["image-facts"], Mends),
    fault(
        "data of an image was altered",
        ALL,
        |house| write(&house.config(), "{}"),
        &["container-image", "image-config"],
        Pulls,
    ),
    fault(
        "a configuration is missing",
        ALL,
        |house| remove(&house.config()),
        &["container-image", "image-config"],
        Pulls,
    ),
    fault(
        "a configuration is no JSON though its name fits",
        ALL,
        |house| {
            let digest = layerlab_engine::image::Digest::of(b"no JSON");
            write(&house.image().join("imagedb/content/sha256").join(digest.hex()), "no JSON");
        },
        &["image-config"],
        Advises,
    ),
    fault(
        "the parent of an image is none",
        ALL,
        |house| write(&facts(house).join(house.config().file_name().unwrap()).join("parent"), "x"),
        &["image-facts"],
        Mends,
    ),
    fault("facts are kept of no image", ALL, |house| make(&facts(house).join("f".repeat(64))), &["image-facts"], Mends),
    fault(
        "repositories.json is missing",
        ALL,
        |house| remove(&house.image().join("repositories.json")),
        &["names"],
        Mends,
    ),
    fault(
        "repositories.json is no JSON",
        ALL,
        |house| write(&house.image().join("repositories.json"), "x"),
        &["names"],
        Mends,
    ),
    fault(
        "a name is of an image that is not there",
        ALL,
        |house| {
            let gone = format!("sha256:{}", "f".repeat(64));
            let path = house.image().join("repositories.json");
            let names = fs::read_to_string(&path).unwrap();
            write(
                &path,
                &names.replacen(
                    "{\"Repositories\":{",
                    &format!("{{\"Repositories\":{{\"gone\":{{\"gone:latest\":\"{gone}\"}},"),
                    1,
                ),
            );
        },
        &["dangling-name"],
        Mends,
    ),
    fault(
        "distribution is missing",
        ALL,
        |house| remove(&house.image().join("distribution")),
        &["distribution"],
        Mends,
    ),
    fault(
        "image is missing",
        ALL,
        |house| remove(&house.data().join("image")),
        &[
            "container-image",
            "distribution",
            "image-config",
            "image-facts",
            "layer-record",
            "mount-record",
            "names",
            "orphan-directory",
        ],
        Advises,
    ),
];
