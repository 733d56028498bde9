//! `docker diff` as Docker's own comparison gives it, rule by rule, and what Docker misses.
//!
//! Checklist: DF-01

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;

use layerlab_engine::layer::{Kinship, OverlayXattr, changes};
use rustix::fs::FileType;

use crate::scene::{Tree, directory, options, root_is_here};

fn base(tree: &Tree<'_>) {
    tree.dir("t").dir("t/dir").file("t/dir/a", "a\n", 0o644).dir("t/dir/sub").file("t/dir/sub/c", "c\n", 0o644);
    tree.dir("t/empty").file("t/one", "one\n", 0o644).file("t/two", "two\n", 0o640).symlink("t/link", "one");
    tree.times(1_000_000_000);
}

/// The lines of a comparison between the base tree and the same tree after `edit`.
fn diff(edit: impl FnOnce(&Tree<'_>)) -> Vec<String> {
    let (old, new) = (directory(), directory());
    base(&Tree(old.path()));
    base(&Tree(new.path()));
    edit(&Tree(new.path()));
    let found = changes(old.path(), new.path(), Kinship::Unknown).unwrap();
    found.iter().map(|change| format!("{} {}", change.kind.letter(), change.path.display())).collect()
}

fn remove(tree: &Tree<'_>, path: &str) {
    let path = tree.0.join(path);
    if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
}

#[test]
fn equal_trees_have_no_changes() {
    assert!(diff(|_| {}).is_empty());
}

#[test]
fn additions_list_everything_below_and_the_parents_as_modified() {
    let lines = diff(|tree| {
        tree.dir("t/n1").dir("t/n1/n2").file("t/n1/n2/f", "x", 0o644).file("top", "", 0o600);
    });
    assert_eq!(lines, ["C /t", "A /t/n1", "A /t/n1/n2", "A /t/n1/n2/f", "A /top"]);
}

/// Checklist: DF-02~
#[test]
fn a_deleted_directory_is_one_line() {
    assert_eq!(diff(|tree| remove(tree, "t/dir")), ["C /t", "D /t/dir"]);
    assert_eq!(diff(|tree| remove(tree, "t")), ["D /t"]);
}

/// Checklist: OP-05
#[test]
fn a_replaced_directory_lists_the_children_that_are_gone() {
    let lines = diff(|tree| {
        remove(tree, "t/dir");
        tree.dir("t/dir").file("t/dir/n", "n\n", 0o644);
    });
    assert_eq!(lines, ["C /t", "C /t/dir", "D /t/dir/a", "A /t/dir/n", "D /t/dir/sub"]);
}

#[test]
fn a_change_of_type_is_a_modification_without_lines_for_the_old_children() {
    let lines = diff(|tree| {
        remove(tree, "t/dir");
        tree.file("t/dir", "file\n", 0o644);
        remove(tree, "t/two");
        tree.dir("t/two").file("t/two/in", "in\n", 0o644);
    });
    assert_eq!(lines, ["C /t", "C /t/dir", "C /t/two", "A /t/two/in"]);
}

/// Checklist: DF-04
#[test]
fn modes_sizes_times_and_link_targets_count() {
    let one = ["C /t", "C /t/one"];
    assert_eq!(
        diff(|tree| {
            tree.mode("t/one", 0o600);
        }),
        one
    );
    assert_eq!(
        diff(|tree| {
            tree.time("t/one", 1_000_000_001, 0);
        }),
        one
    );
    assert_eq!(diff(|tree| std::fs::write(tree.0.join("t/one"), "longer").unwrap()), one);
    assert_eq!(
        diff(|tree| {
            tree.mode("t/dir", 0o700);
        }),
        ["C /t", "C /t/dir"]
    );
    let relinked = diff(|tree| {
        remove(tree, "t/link");
        tree.symlink("t/link", "two").time("t/link", 1_000_000_009, 0);
    });
    assert_eq!(relinked, ["C /t", "C /t/link"]);
}

#[test]
fn the_time_of_a_directory_is_no_change() {
    assert_eq!(
        diff(|tree| {
            tree.time("t/dir", 5, 0);
        }),
        [""; 0]
    );
}

#[test]
fn what_docker_misses_is_told() {
    let rewritten = diff(|tree| {
        std::fs::write(tree.0.join("t/two"), "TWO\n").unwrap();
        tree.time("t/two", 1_000_000_000, 0);
    });
    assert_eq!(rewritten, ["C /t", "C /t/two"], "new contents with the old size and time");
    assert_eq!(
        diff(|tree| {
            tree.xattr("t/one", "user.foo", b"bar");
        }),
        ["C /t", "C /t/one"]
    );
    assert_eq!(
        diff(|tree| {
            tree.mode("", 0o711);
        }),
        ["C /"],
        "the root itself"
    );
}

/// The tree that `edit` makes of an old one, compared with that with the help of an upper directory.
fn compared(marks: OverlayXattr, edit: impl FnOnce(&Tree<'_>, &Tree<'_>)) -> Vec<String> {
    let (old, new, upper) = (directory(), directory(), directory());
    base(&Tree(old.path()));
    base(&Tree(new.path()));
    edit(&Tree(new.path()), &Tree(upper.path()));
    let found = changes(old.path(), new.path(), Kinship::Upper(upper.path(), marks)).unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn only_what_is_in_an_upper_directory_can_have_another_content() {
    let marks = options().overlay;
    let rewrite = |tree: &Tree<'_>| {
        std::fs::write(tree.0.join("t/two"), "TWO\n").unwrap();
        tree.time("t/two", 1_000_000_000, 0);
    };
    assert_eq!(compared(marks, |tree, _| rewrite(tree)), [""; 0], "nobody can have written to it");
    let lines = compared(marks, |tree, upper| {
        rewrite(tree);
        upper.dir("t").file("t/two", "TWO\n", 0o640);
    });
    assert_eq!(lines, ["C /t", "C /t/two"]);
}

#[test]
fn a_directory_that_replaced_an_equal_one_is_told_by_its_mark() {
    let marks = options().overlay;
    let replaced = compared(marks, |_, upper| {
        upper.dir("t").opaque_dir("t/empty").dir("t/dir").dir("new").opaque_dir("new/one");
    });
    assert_eq!(replaced, ["C /t", "C /t/empty"]);
    let files = compared(OverlayXattr::None, |_, upper| {
        upper.dir("t").dir("t/empty").file("t/empty/.wh..wh..opq", "", 0o644);
    });
    assert_eq!(files, ["C /t", "C /t/empty"]);
}

#[test]
fn a_mark_that_was_copied_tells_of_no_new_directory() {
    let (old, new, upper, copied) = (directory(), directory(), directory(), directory());
    base(&Tree(old.path()));
    base(&Tree(new.path()));
    Tree(upper.path()).dir("t").opaque_dir("t/empty").opaque_dir("t/dir");
    Tree(copied.path()).dir("t").file("t/empty", "", 0o644).opaque_dir("t/dir");
    let kinship = Kinship::CopiedUpper(upper.path(), copied.path(), options().overlay);
    let found = changes(old.path(), new.path(), kinship).unwrap();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["C /t", "C /t/empty"]);
}

#[test]
fn a_hole_is_as_good_as_zeros() {
    let (old, new) = (directory(), directory());
    for (tree, holes) in [(Tree(old.path()), true), (Tree(new.path()), false)] {
        let file = std::fs::File::create_new(tree.0.join("f")).unwrap();
        file.set_len(300_000).unwrap();
        if !holes {
            file.write_all_at(&vec![0; 300_000], 0).unwrap();
        }
        tree.time("f", 1_000_000_000, 0);
    }
    let found = || changes(old.path(), new.path(), Kinship::Unknown).unwrap().len();
    assert_eq!(found(), 0);
    std::fs::File::options().write(true).open(new.path().join("f")).unwrap().write_all_at(b"x", 299_999).unwrap();
    Tree(new.path()).time("f", 1_000_000_000, 0);
    assert_eq!(found(), 1);
}

/// Checklist: DF-04
#[test]
fn nanoseconds_count_only_when_both_sides_have_them() {
    let (old, new) = (directory(), directory());
    for (tree, nanoseconds) in [(Tree(old.path()), [0, 5, 5]), (Tree(new.path()), [7, 7, 0])] {
        for (name, nanoseconds) in ["a", "b", "c"].into_iter().zip(nanoseconds) {
            tree.file(name, "", 0o644).time(name, 1_000_000_000, nanoseconds);
        }
    }
    let found = changes(old.path(), new.path(), Kinship::Unknown).unwrap();
    assert_eq!(found.iter().map(|change| change.path.to_str().unwrap()).collect::<Vec<_>>(), ["/b"]);
}

#[test]
fn owners_devices_and_capabilities_count() {
    if !root_is_here("owners_devices_and_capabilities_count") {
        return;
    }
    assert_eq!(
        diff(|tree| {
            tree.owner("t/link", 33, 33);
        }),
        ["C /t", "C /t/link"]
    );
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        diff(|tree| {
            tree.xattr("t/two", "security.capability", &capability);
        }),
        ["C /t", "C /t/two"]
    );
    let (old, new) = (directory(), directory());
    for (tree, minor, time) in [(Tree(old.path()), 3, 1), (Tree(new.path()), 5, 2)] {
        tree.node("chr", FileType::CharacterDevice, (1, minor), 0o644).time("chr", 1, 0);
        tree.node("blk", FileType::BlockDevice, (7, 0), 0o644).time("blk", time, 0);
    }
    let found = changes(old.path(), new.path(), Kinship::Unknown).unwrap();
    let lines: Vec<_> = found.iter().map(|change| change.path.to_str().unwrap()).collect();
    assert_eq!(lines, ["/chr"], "Docker takes a block device for a directory and ignores its time");
}

#[test]
fn names_that_are_not_utf8_survive() {
    let (old, new) = (directory(), directory());
    std::fs::write(new.path().join(OsStr::from_bytes(b"\xff\xfe")), "").unwrap();
    let found = changes(old.path(), new.path(), Kinship::Unknown).unwrap();
    assert_eq!(found[0].path.as_os_str().as_bytes(), b"/\xff\xfe");
}

#[test]
fn a_missing_tree_is_named_in_the_error() {
    let place = directory();
    let error = changes(&place.path().join("nowhere"), place.path(), Kinship::Unknown).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}
