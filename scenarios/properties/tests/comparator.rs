//! A comparison of trees that leaves one field out is noticed, whichever it is: by the pairs that every campaign asks its comparison about,
//! and by real files that differ in that field alone.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;
use std::thread;

use layerlab_properties::case::prepare_thread;
use layerlab_properties::tar::{self, Sight};
use layerlab_properties::tree::{self, Clock, Comparator, Field, Inodes, Tree, seeded, unseen};
use layerlab_scenarios::skip::skip;
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat, utimensat,
};

mod memory;

use memory::memory;

#[test]
fn the_comparison_sees_every_field_of_every_kind_of_file() {
    let unseen = unseen(Comparator::WHOLE);
    assert!(unseen.is_empty(), "{unseen:#?}");
}

#[test]
fn a_comparison_without_a_field_is_noticed_by_every_pair_that_differs_in_it() {
    for field in Field::ALL {
        let about_it = seeded().iter().filter(|pair| pair.field == *field).count();
        let unseen = unseen(Comparator::without(*field));
        assert!(about_it > 0 && unseen.len() >= about_it, "{field:?}: {} of {about_it}", unseen.len());
        assert!(unseen.iter().all(|(pair, _)| pair.field == *field), "{field:?} is read for another: {unseen:#?}");
    }
}

#[test]
fn what_came_of_tars_is_compared_in_everything_that_tars_carry() {
    let seen = |pair: &tree::Seeded| !tar::differences(&pair.tree, &pair.other, Sight::Everything).is_empty();
    let read: BTreeSet<Field> = seeded().iter().filter(|pair| seen(pair)).map(|pair| pair.field).collect();
    let all = Field::ALL.iter().copied().collect::<BTreeSet<_>>();
    // Capabilities are the one attribute that Docker's tars carry, and no pair is about those.
    let not_carried = [Field::Links, Field::Xattrs, Field::Inode].into();
    assert_eq!(&all - &read, not_carried);
    let [tree, other] = [b"one", b"two"].map(|value| {
        let mut tree = seeded()[0].tree.clone();
        tree.values_mut().for_each(|facts| drop(facts.xattrs.insert("security.capability".into(), value.to_vec())));
        tree
    });
    assert!(!tar::differences(&tree, &other, Sight::Everything).is_empty());
}

/// What is made in an empty directory.
#[derive(Clone, Copy)]
struct Made {
    kind: FileType,
    mode: u32,
    owner: (u32, u32),
    nanoseconds: i64,
    /// A file's content, or a link's target.
    text: &'static str,
    device: (u32, u32),
    xattrs: &'static [(&'static str, &'static str)],
    names: Names,
}

#[derive(Clone, Copy)]
enum Names {
    /// Nothing is made.
    None,
    /// `file`
    One,
    /// `file`, and one outside of the tree.
    OneOfTwo,
    /// `file` and `same`
    Two,
    /// `same` is another file; both have one more name outside of the tree.
    OfTwoFiles,
}

const REGULAR: Made = Made {
    kind: FileType::RegularFile,
    mode: 0o640,
    owner: (1, 2),
    nanoseconds: 4,
    text: "content",
    device: (0, 0),
    xattrs: &[("trusted.a", "value")],
    names: Names::One,
};
const DIRECTORY: Made = Made { kind: FileType::Directory, ..REGULAR };
const LINK: Made = Made { kind: FileType::Symlink, ..REGULAR };
const NODE: Made = Made { kind: FileType::CharacterDevice, device: (5, 6), ..REGULAR };
const BARE: Made = Made { kind: FileType::Directory, xattrs: &[], ..REGULAR };

/// Real files that differ in one field.
const ON_DISK: [(Field, Made, Made); 26] = [
    (Field::Presence, REGULAR, Made { names: Names::None, ..REGULAR }),
    (Field::Kind, NODE, Made { kind: FileType::BlockDevice, ..NODE }),
    (Field::Mode, REGULAR, Made { mode: 0o4640, ..REGULAR }),
    (Field::Mode, DIRECTORY, Made { mode: 0o1640, ..DIRECTORY }),
    (Field::Mode, NODE, Made { mode: 0o641, ..NODE }),
    (Field::Owner, REGULAR, Made { owner: (3, 2), ..REGULAR }),
    (Field::Owner, LINK, Made { owner: (3, 2), ..LINK }),
    (Field::Group, REGULAR, Made { owner: (1, 3), ..REGULAR }),
    (Field::Group, LINK, Made { owner: (1, 3), ..LINK }),
    (Field::Mtime, REGULAR, Made { nanoseconds: 5, ..REGULAR }),
    (Field::Mtime, DIRECTORY, Made { nanoseconds: 5, ..DIRECTORY }),
    (Field::Mtime, LINK, Made { nanoseconds: 5, ..LINK }),
    (Field::Content, REGULAR, Made { text: "contenT", ..REGULAR }),
    (Field::Target, LINK, Made { text: "contenT", ..LINK }),
    (Field::Device, NODE, Made { device: (5, 7), ..NODE }),
    (Field::Device, NODE, Made { device: (6, 6), ..NODE }),
    (Field::Links, REGULAR, Made { names: Names::OneOfTwo, ..REGULAR }),
    (Field::Names, Made { names: Names::Two, ..REGULAR }, Made { names: Names::OfTwoFiles, ..REGULAR }),
    (Field::Xattrs, REGULAR, Made { xattrs: &[("trusted.a", "valuf")], ..REGULAR }),
    (Field::Xattrs, DIRECTORY, Made { xattrs: &[("trusted.a", "value"), ("trusted.b", "")], ..DIRECTORY }),
    (Field::Xattrs, LINK, Made { xattrs: &[], ..LINK }),
    (Field::Opaque, BARE, Made { xattrs: &[("trusted.overlay.opaque", "y")], ..BARE }),
    (Field::Redirect, BARE, Made { xattrs: &[("trusted.overlay.redirect", "/x")], ..BARE }),
    (Field::Metacopy, Made { xattrs: &[], ..REGULAR }, Made { xattrs: &[("trusted.overlay.metacopy", "")], ..REGULAR }),
    (Field::Unknown, BARE, Made { xattrs: &[("trusted.overlay.other", "")], ..BARE }),
    (Field::Inode, REGULAR, REGULAR),
];

impl Made {
    /// Makes it in the directory `root`, which is made, too, and reads that.
    fn read_in(&self, root: &Path) -> Tree {
        fs::create_dir(root).unwrap();
        let [file, same] = ["file", "same"].map(|name| root.join(name));
        let [outside, same_outside] = ["outside", "same-outside"].map(|name| root.with_extension(name));
        match self.names {
            Names::None => {}
            Names::One => self.make(&file),
            Names::OneOfTwo => {
                self.make(&file);
                fs::hard_link(&file, outside).unwrap();
            }
            Names::Two => {
                self.make(&file);
                fs::hard_link(&file, same).unwrap();
            }
            Names::OfTwoFiles => {
                self.make(&file);
                self.make(&same);
                fs::hard_link(&file, outside).unwrap();
                fs::hard_link(&same, same_outside).unwrap();
            }
        }
        touch(root, 0);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root: OwnedFd = rustix::fs::open(root, flags, Mode::empty()).unwrap();
        tree::of_disk(&root).unwrap()
    }

    fn make(&self, file: &Path) {
        match self.kind {
            FileType::RegularFile => fs::write(file, self.text).unwrap(),
            FileType::Directory => fs::create_dir(file).unwrap(),
            FileType::Symlink => symlink(self.text, file).unwrap(),
            kind => mknodat(CWD, file, kind, Mode::empty(), makedev(self.device.0, self.device.1)).unwrap(),
        }
        lchown(file, Some(self.owner.0), Some(self.owner.1)).unwrap();
        if self.kind != FileType::Symlink {
            fs::set_permissions(file, fs::Permissions::from_mode(self.mode)).unwrap();
        }
        for (name, value) in self.xattrs {
            lsetxattr(file, *name, value.as_bytes(), XattrFlags::empty()).unwrap();
        }
        touch(file, self.nanoseconds);
    }
}

fn touch(file: &Path, nanoseconds: i64) {
    let time = Timespec { tv_sec: 1_000_000_000, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// In which fields a comparison finds two trees other. What was made twice has other inode numbers each time.
fn found(who: Comparator, one: &Tree, other: &Tree, field: Field) -> BTreeSet<Field> {
    let mut found = who.differences(one, other, &mut Clock::new());
    found.extend(who.link_differences(one, other));
    if field == Field::Inode {
        found.extend(who.changes(one, other, Inodes::Compared));
    }
    found.iter().map(|difference| difference.field).collect()
}

#[test]
fn real_files_that_differ_in_a_field_are_seen_to_and_not_without_that_field() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "real files get owners, devices and trusted attributes");
    }
    let compare = || {
        prepare_thread().unwrap();
        let place = tempfile::tempdir_in(memory()).unwrap();
        for (number, (field, one, other)) in ON_DISK.into_iter().enumerate() {
            let one = one.read_in(&place.path().join(format!("one-{number}")));
            let other = other.read_in(&place.path().join(format!("other-{number}")));
            assert_eq!(found(Comparator::WHOLE, &one, &other, field), [field].into());
            assert_eq!(found(Comparator::without(field), &one, &other, field), BTreeSet::new(), "{field:?}");
        }
    };
    thread::scope(|scope| scope.spawn(compare).join().unwrap());
    let asked: BTreeSet<Field> = ON_DISK.iter().map(|(field, ..)| *field).collect();
    assert_eq!(asked, Field::ALL.iter().copied().collect());
}
