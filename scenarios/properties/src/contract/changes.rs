//! A base with files of every kind, and a change of each kind that there is of them.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use layerlab_engine::driver::{Deviation, Driver};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, makedev, mknodat, setxattr, utimensat,
};

use super::scene::{Scene, tree};

/// When the base was made, and when it was changed: all that has a later time.
pub const MADE: i64 = 1_000_000_000;
pub const CHANGED: i64 = 1_100_000_000;

/// What this user may do here.
#[derive(Debug, Clone, Copy)]
pub struct Ability {
    pub makes_devices: bool,
    pub gives_owners: bool,
    /// What is copied up keeps its time.
    pub keeps_times: bool,
    /// The other names of a file that loses one stay one file.
    pub keeps_names: bool,
}

impl Ability {
    /// Of this process, with a storage driver.
    pub fn with(driver: &dyn Driver) -> Ability {
        let map = fs::read_to_string("/proc/self/uid_map").unwrap();
        let count = |line: &str| line.split_whitespace().nth(2).unwrap().parse::<u64>().unwrap();
        let ids = map.lines().map(count).sum::<u64>();
        Ability {
            makes_devices: ids == u64::from(u32::MAX),
            gives_owners: ids > 1000,
            keeps_names: !driver.deviates(Deviation::NamesComeApart),
            keeps_times: !driver.deviates(Deviation::CopiesLoseTimes),
        }
    }
}

/// The layer `base`, of which [`change`] changes everything.
pub fn base(scene: &Scene, able: Ability) {
    scene.layer_of("base", None, |root| {
        let at = |path: &str| root.join(path);
        for directory in ["kept/deep", "gone/deep", "again/deep", "to-file/deep", "mode-of-directory", "links", "names"]
        {
            fs::create_dir_all(at(directory)).unwrap();
        }
        for file in FILES {
            fs::write(at(file), file).unwrap();
        }
        fs::hard_link(at("links/a"), at("links/b")).unwrap();
        fs::hard_link(at("links/a"), at("kept/c")).unwrap();
        symlink("mode", at("link")).unwrap();
        symlink("mode", at("link-to-file")).unwrap();
        mknodat(CWD, at("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        if able.makes_devices {
            mknodat(CWD, at("device"), FileType::CharacterDevice, Mode::RUSR, makedev(1, 3)).unwrap();
        }
        for path in tree(root).keys().rev() {
            set_time(&root.join(path), MADE);
        }
    });
}

const FILES: [&str; 24] = [
    "mode",
    "owner",
    "xattr",
    "capability",
    "acl",
    "time",
    "content",
    "content-alike",
    "longer",
    "to-directory",
    "to-link",
    "to-device",
    "moved",
    "kept/file",
    "kept/deep/file",
    "gone/file",
    "gone/deep/file",
    "again/file",
    "again/both",
    "again/deep/file",
    "to-file/deep/file",
    "links/a",
    "names/removed",
    "names/stays",
];

/// `cap_net_raw+ep` of revision 2 (linux/capability.h, `struct vfs_cap_data`).
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// `user::rw-, group::r--, mask::rw-, other::---` with `user:0:rw-` (linux/posix_acl_xattr.h).
fn access_list() -> Vec<u8> {
    let mut list = vec![2, 0, 0, 0];
    for (tag, permissions, id) in
        [(1u16, 6u16, u32::MAX), (2, 6, 0), (4, 4, u32::MAX), (16, 6, u32::MAX), (32, 0, u32::MAX)]
    {
        list.extend(tag.to_le_bytes());
        list.extend(permissions.to_le_bytes());
        list.extend(id.to_le_bytes());
    }
    list
}

/// Changes each file of the base in its own way, and makes new ones of every kind.
pub fn change(root: &Path, able: Ability) {
    let at = |path: &str| root.join(path);
    let permit = |path: &str, mode| fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
    let xattr = |path: &str, name: &str, value: &[u8]| setxattr(at(path), name, value, XattrFlags::empty()).unwrap();
    let write_into = |path: &str, text: &str| {
        OpenOptions::new().write(true).open(at(path)).unwrap().write_all(text.as_bytes()).unwrap()
    };

    permit("mode", 0o6711);
    permit("mode-of-directory", 0o1700);
    xattr("xattr", "user.one", b"value");
    xattr("capability", "security.capability", &CAPABILITY);
    xattr("acl", "system.posix_acl_access", &access_list());
    set_time(&at("time"), CHANGED);
    write_into("content", "CONTENT");
    write_into("content-alike", "ALIKE-CONTENT");
    set_time(&at("content-alike"), MADE);
    write_into("longer", "longer than before");
    if able.gives_owners {
        lchown(at("owner"), Some(33), Some(44)).unwrap();
        lchown(at("link"), Some(55), None).unwrap();
        lchown(at("kept/deep"), None, Some(66)).unwrap();
    }
    fs::remove_dir_all(at("gone")).unwrap();
    if able.keeps_names {
        fs::remove_file(at("links/b")).unwrap();
    }
    fs::remove_file(at("names/removed")).unwrap();
    fs::rename(at("moved"), at("names/moved")).unwrap();
    // Each kind in the place of another.
    fs::remove_file(at("to-directory")).unwrap();
    fs::create_dir(at("to-directory")).unwrap();
    fs::write(at("to-directory/inside"), "inside").unwrap();
    fs::remove_dir_all(at("to-file")).unwrap();
    fs::write(at("to-file"), "a directory once").unwrap();
    fs::remove_file(at("to-link")).unwrap();
    symlink("elsewhere", at("to-link")).unwrap();
    fs::remove_file(at("link-to-file")).unwrap();
    fs::write(at("link-to-file"), "a link once").unwrap();
    fs::remove_file(at("fifo")).unwrap();
    UnixListener::bind(at("fifo")).unwrap();
    fs::remove_file(at("to-device")).unwrap();
    mknodat(CWD, at("to-device"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::remove_dir_all(at("again")).unwrap();
    fs::create_dir_all(at("again/deep")).unwrap();
    fs::write(at("again/both"), "another file of this name").unwrap();
    fs::write(at("again/deep/new"), "new").unwrap();
    // A group of four names in two directories, and names that sort otherwise as paths than as names.
    fs::create_dir(at("new")).unwrap();
    fs::create_dir(at("new/d")).unwrap();
    fs::write(at("new/d/first"), "four names").unwrap();
    for name in ["new/d.first", "new/z", "kept/deep/z"] {
        fs::hard_link(at("new/d/first"), at(name)).unwrap();
    }
    fs::create_dir(at("new/directory")).unwrap();
    fs::write(at("new/directory/in"), "moved along").unwrap();
    fs::rename(at("new/directory"), at("new/moved")).unwrap();
    for name in ["\u{e4}", "two\nlines", "x.wh.y"] {
        fs::write(root.join("names").join(name), name).unwrap();
    }
    let file = File::create(at("new/holes")).unwrap();
    file.set_len(20_000).unwrap();
    if able.makes_devices {
        fs::remove_file(at("device")).unwrap();
        mknodat(CWD, at("device"), FileType::BlockDevice, Mode::RUSR, makedev(7, 300)).unwrap();
        mknodat(CWD, at("new/device"), FileType::CharacterDevice, Mode::RUSR, makedev(1, 3)).unwrap();
    }
    // What was touched has a time of today.
    for path in tree(root).keys().rev().map(|path| root.join(path)) {
        let modified = fs::symlink_metadata(&path).unwrap().modified().unwrap();
        let seconds = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        if seconds > CHANGED.unsigned_abs() {
            set_time(&path, CHANGED);
        }
    }
    if !able.keeps_times {
        ["kept", "link"].iter().for_each(|path| set_time(&at(path), MADE));
    }
}

pub fn set_time(path: &Path, seconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
