//! Faults of what lies in a layer: bytes, names, attributes.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use super::Repair::{Mends, Pulls};
use super::{ALL, Fault, WHOLE, fault};
use crate::damage::{alter, layer, make, mode, remove, write, xattr};
use crate::house::granting;

const ACCESS_LIST: &str = "system.posix_acl_access";

pub const FAULTS: &[Fault] = &[
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
        |house| xattr(&layer(house, 2).join("etc/passwd"), "user.other", b"y"),
        &["attributes"],
        Mends,
    ),
    fault(
        "a file of a layer has lost its access control list",
        ALL,
        |house| rustix::fs::removexattr(layer(house, 0).join("etc/shared"), ACCESS_LIST).unwrap(),
        &["attributes"],
        Mends,
    ),
    fault(
        "an access control list of a layer grants something else",
        ALL,
        |house| xattr(&layer(house, 0).join("etc/shared"), ACCESS_LIST, &granting(7)),
        &["attributes"],
        Mends,
    ),
    fault(
        "a file of a layer has an access control list with which it did not come",
        ALL,
        |house| {
            // The mode stays: only the list is another.
            xattr(&layer(house, 0).join("etc/passwd"), ACCESS_LIST, &granting(6));
            mode(&layer(house, 0).join("etc/passwd"), 0o644);
        },
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
        |house| xattr(&layer(house, 1).join("usr"), "user.overlay.opaque", b"y"),
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
];
