//! Faults, planted one by one: those of the containers-storage suite (`tests/check.bats`), and each loss that was tried on a real
//! dockerd 20.10. Of its cases with read-only stores there is none here: a data root of Docker's is one store.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use layerlab_engine::layer::{Files, copy_tree};
use layerlab_engine::sys::btrfs;

use serde_json::Value;

use super::house::{Ground, House, name};

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
use Repair::{Advises, Mends, Pulls};

const ALL: &[&str] = &["overlay2", "overlay", "vfs", "btrfs", "fuse-overlayfs"];
/// Those whose layers have short names.
const LINKED: &[&str] = &["overlay2", "fuse-overlayfs"];
const WHOLE: &[&str] = &["overlay", "vfs", "btrfs"];
/// Those that keep more than files in a layer's directory.
const PARTED: &[&str] = &["overlay2", "overlay", "fuse-overlayfs"];

/// Every fault.
pub const FAULTS: &[Fault] = &[
    // containers-storage
    fault(
        "a directory of the driver is accounted for by nothing",
        ALL,
        |house| make(&house.home().join("f".repeat(64))),
        &["orphan-directory"],
        Mends,
    ),
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
        "a file of a layer was altered",
        ALL,
        |house| alter(&layer(house, 0).join("etc/passwd"), 0),
        &["content"],
        Pulls,
    ),
    fault(
        "a file of a layer has another length",
        ALL,
        |house| alter(&layer(house, 0).join("bin/su"), 1),
        &["content"],
        Pulls,
    ),
    fault(
        "a file was added to a layer",
        ALL,
        |house| write(&layer(house, 2).join("etc/added"), "x"),
        &["added-file"],
        Mends,
    ),
    fault(
        "a directory was added to a layer",
        ALL,
        |house| {
            make(&layer(house, 2).join("new"));
            write(&layer(house, 2).join("new/file"), "x");
        },
        &["added-file"],
        Mends,
    ),
    fault(
        "a layer of an image has no record",
        ALL,
        |house| remove(&house.records()[1]),
        &["image-layer", "orphan-directory"],
        Pulls,
    ),
    fault("the image of a container is missing", ALL, forget_image, &["container-image", "image-config"], Pulls),
    fault("data of a layer is missing", ALL, |house| remove(&split(house, 1)), &["tar-split"], Pulls),
    fault("data of a layer was altered", ALL, |house| write(&split(house, 1), "garbage"), &["tar-split"], Pulls),
    fault("data of an image is missing", ALL, |house| remove(&facts(house)), &["image-facts"], Mends),
    fault(
        "data of an image was altered",
        ALL,
        |house| write(&house.config(), "{}"),
        &["container-image", "image-config"],
        Pulls,
    ),
    // Files of a layer
    fault(
        "a file of a layer was removed",
        ALL,
        |house| remove(&layer(house, 1).join("usr/share/doc/README")),
        &["content"],
        Pulls,
    ),
    fault(
        "an empty file of a layer was removed",
        ALL,
        |house| remove(&layer(house, 0).join("etc/empty")),
        &["content"],
        Pulls,
    ),
    fault(
        "a symbolic link of a layer leads elsewhere",
        ALL,
        |house| {
            remove(&layer(house, 0).join("sbin"));
            symlink("elsewhere", layer(house, 0).join("sbin")).unwrap();
        },
        &["content"],
        Pulls,
    ),
    fault(
        "a file of a layer has another mode",
        ALL,
        |house| mode(&layer(house, 0).join("bin/su"), 0o755),
        &["attributes"],
        Mends,
    ),
    fault(
        "a directory of a layer has another mode",
        ALL,
        |house| mode(&layer(house, 0).join("etc"), 0o700),
        &["attributes"],
        Mends,
    ),
    fault(
        "a file of a layer has another time",
        ALL,
        |house| fs::File::open(layer(house, 0).join("etc/group")).unwrap().set_modified(SystemTime::now()).unwrap(),
        &["attributes"],
        Mends,
    ),
    fault(
        "a directory of a layer has another time",
        ALL,
        |house| fs::File::open(layer(house, 0).join("etc")).unwrap().set_modified(SystemTime::now()).unwrap(),
        &["attributes"],
        Mends,
    ),
    fault(
        "a file of a layer has lost an xattr",
        ALL,
        |house| rustix::fs::removexattr(layer(house, 0).join("etc/group"), "user.origin").unwrap(),
        &["attributes"],
        Mends,
    ),
    fault(
        "a file of a layer has an xattr with which it did not come",
        ALL,
        |house| xattr(&layer(house, 2).join("etc/passwd"), "user.other"),
        &["attributes"],
        Mends,
    ),
    fault(
        "a hard link of a layer was torn",
        ALL,
        |house| {
            let path = layer(house, 0).join("etc/group-");
            remove(&path);
            fs::copy(layer(house, 0).join("etc/group"), path).unwrap();
        },
        &["content"],
        Pulls,
    ),
    fault(
        "a file was replaced by a directory",
        ALL,
        |house| {
            remove(&layer(house, 0).join("etc/empty"));
            make(&layer(house, 0).join("etc/empty"));
        },
        &["content"],
        Pulls,
    ),
    fault(
        "a file from below was replaced in a whole tree",
        WHOLE,
        |house| {
            remove(&layer(house, 2).join("bin/su"));
            write(&layer(house, 2).join("bin/su"), "other");
        },
        &["content"],
        Pulls,
    ),
    fault(
        "a file from below is missing in a whole tree",
        WHOLE,
        |house| remove(&layer(house, 2).join("etc/empty")),
        &["content"],
        Pulls,
    ),
    fault(
        "a directory no longer hides what is below",
        &["overlay2"],
        |house| {
            let hiding = layer(house, 0).join("opt");
            let lost = |mark: &str| rustix::fs::removexattr(&hiding, mark).is_ok();
            assert!(lost("trusted.overlay.opaque") || lost("user.overlay.opaque"));
        },
        &["content"],
        Pulls,
    ),
    fault(
        "a directory hides what is below",
        &["overlay2"],
        |house| xattr(&layer(house, 1).join("usr"), "user.overlay.opaque"),
        &["content"],
        Pulls,
    ),
    fault(
        "a file hides a name of the layers below",
        &["fuse-overlayfs"],
        |house| write(&layer(house, 2).join("etc/.wh.group"), ""),
        &["added-file"],
        Mends,
    ),
    fault(
        "a file from below has another time in a whole tree",
        &["vfs", "btrfs"],
        |house| fs::File::open(layer(house, 2).join("bin/su")).unwrap().set_modified(SystemTime::now()).unwrap(),
        &["content"],
        Pulls,
    ),
    // Subvolumes
    fault(
        "a layer is a directory and no subvolume",
        &["btrfs"],
        |house| {
            let (layer, aside) = (layer(house, 1), house.home().join("aside"));
            fs::create_dir(&aside).unwrap();
            copy_tree(&layer, &aside, Files::Copied).unwrap();
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
    // Records of layers
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
    // The driver's directories
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
    // Images and names
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
    // Containers
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
    // Leftovers
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
            write(&house.data().join("tmp/intent-x"), &format!("cache {id}\n"));
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

pub fn layer(house: &House, index: usize) -> PathBuf {
    house.files(&house.directories()[index])
}

pub fn split(house: &House, index: usize) -> PathBuf {
    house.records()[index].join("tar-split.json.gz")
}

fn facts(house: &House) -> PathBuf {
    house.image().join("imagedb/metadata/sha256")
}

fn short_name(house: &House, index: usize) -> PathBuf {
    house.home().join("l").join(fs::read_to_string(house.directories()[index].join("link")).unwrap())
}

/// Removes the configurations of `top` and what it was built of, as somebody without an engine would.
fn forget_image(house: &House) {
    let keep = house.done(&["images", "-q", "--no-trunc", "base"]);
    for entry in fs::read_dir(house.image().join("imagedb/content/sha256")).unwrap() {
        let path = entry.unwrap().path();
        if !keep.ends_with(&name(&path)) {
            remove(&path);
            let _ = fs::remove_dir_all(facts(house).join(name(&path)));
        }
    }
}

fn make(path: &Path) {
    fs::create_dir(path).unwrap();
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn xattr(path: &Path, name: &str) {
    // The value of an overlay's mark.
    rustix::fs::setxattr(path, name, b"y", rustix::fs::XattrFlags::empty()).unwrap();
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Changes the bytes of a file in place, and its length by `more`.
pub fn alter(path: &Path, more: usize) {
    let mut content = fs::read(path).unwrap();
    content[0] ^= 1;
    content.extend(vec![0; more]);
    let permissions = fs::metadata(path).unwrap().permissions();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, permissions).unwrap();
}

pub fn remove(path: &Path) {
    if fs::symlink_metadata(path).unwrap().is_dir() {
        let _ = fs::set_permissions(path.join("work/work"), Permissions::from_mode(0o700));
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}
