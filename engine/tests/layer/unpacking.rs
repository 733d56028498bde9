//! What an honest tar becomes on disk.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use layerlab_engine::layer::{Contents, UnpackError, UnpackOptions, Unpacked, unpack};

use crate::scene::{Tar, directory, is_whiteout, listing, opaque, options, root_is_here, unpacked};

/// Checklist: PM-05~, TR-02
#[test]
fn missing_parents_are_made_and_open_to_all() {
    let place = directory();
    unpacked(&Tar::new().file("a/b/c", "x").dir("d/e/", 0o700).end(), place.path()).unwrap();
    for parent in ["a", "a/b", "d"] {
        assert_eq!(fs::metadata(place.path().join(parent)).unwrap().mode() & 0o7777, 0o755, "{parent}");
    }
}

#[test]
fn where_a_name_leads_is_asked_anew_when_its_directory_was_replaced() {
    let place = directory();
    let tar = Tar::new().dir("two/", 0o755).file("one/a", "x").file("one/b", "x").symlink("one", "two");
    unpacked(&tar.file("one/c", "x").file("one/d", "x").end(), place.path()).unwrap();
    assert_eq!(fs::read_link(place.path().join("one")).unwrap(), Path::new("two"));
    let names = fs::read_dir(place.path().join("two")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    assert_eq!(names, ["c", "d"]);
}

#[test]
fn a_file_that_replaces_a_part_of_its_own_path_leads_nobody_to_where_it_was() {
    let place = directory();
    let tar = Tar::new().dir("a/", 0o755).symlink("a/link", ".").file("a/link/link", "x").file("a/link/y", "x").end();
    let refused = unpacked(&tar, place.path()).unwrap_err().to_string();
    assert!(refused.contains("a/link/y") && !place.path().join("a/y").exists(), "{refused}");
}

/// Checklist: DL-02
#[test]
fn all_twelve_mode_bits_arrive() {
    let place = directory();
    let setuid = Tar::new().entry(b'0', "suid", "", 0o6755, b"x", |_| {});
    unpacked(&setuid.dir("sticky/", 0o1777).dir("setgid/", 0o2750).end(), place.path()).unwrap();
    let mode = |name: &str| fs::metadata(place.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("suid"), mode("sticky"), mode("setgid")), (0o6755, 0o1777, 0o2750));
}

/// Checklist: TR-05
#[test]
fn a_directory_without_write_permission_still_gets_its_contents() {
    let place = directory();
    let tar = Tar::new().dir("d/", 0o555).dir("d/e/", 0o000).file("d/e/f", "x").end();
    unpacked(&tar, place.path()).unwrap();
    let mode = |name: &str| fs::symlink_metadata(place.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("d"), mode("d/e")), (0o555, 0o000));
    for name in ["d", "d/e"] {
        fs::set_permissions(place.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    assert_eq!(fs::read(place.path().join("d/e/f")).unwrap(), b"x");
}

/// Checklist: TR-02, TR-05
#[test]
fn the_root_entry_sets_the_roots_mode_and_time() {
    let place = directory();
    unpacked(&Tar::new().dir("./", 0o711).file("./a", "x").end(), place.path()).unwrap();
    let root = fs::metadata(place.path()).unwrap();
    assert_eq!((root.mode() & 0o7777, root.mtime()), (0o711, 1_000_000_000));
}

/// Checklist: TR-05
#[test]
fn times_keep_their_nanoseconds_on_every_kind_of_entry() {
    let place = directory();
    let time: &[(&str, &[u8])] = &[("mtime", b"1234567890.123456789")];
    let tar = Tar::new().pax(time).dir("d/", 0o755).pax(time).file("d/f", "x").pax(time).symlink("d/s", "nowhere");
    unpacked(&tar.pax(time).entry(b'6', "d/p", "", 0o644, b"", |_| {}).end(), place.path()).unwrap();
    for (path, seen) in listing(place.path()) {
        assert_eq!(seen.mtime, (1_234_567_890, 123_456_789), "{}", path.display());
    }
}

/// Checklist: N-23~
#[test]
fn times_before_1970_are_times_too() {
    let place = directory();
    unpacked(&Tar::new().pax(&[("mtime", b"-1.25")]).file("f", "").end(), place.path()).unwrap();
    assert_eq!(listing(place.path()).values().next().unwrap().mtime, (-2, 750_000_000));
}

/// Checklist: TR-01~
#[test]
fn long_names_arrive_by_pax_and_by_gnu_records() {
    let place = directory();
    let (pax, gnu) = (format!("{}/pax", "p".repeat(200)), format!("{}/gnu", "g".repeat(200)));
    let terminated = format!("{gnu}\0");
    let tar = Tar::new().pax(&[("path", pax.as_bytes())]).file("short", "1");
    let tar = tar.entry(b'L', "././@LongLink", "", 0, terminated.as_bytes(), |_| {}).file("short", "2");
    let tar = tar.entry(b'K', "././@LongLink", "", 0, terminated.as_bytes(), |_| {}).symlink("link", "short");
    unpacked(&tar.end(), place.path()).unwrap();
    assert_eq!(fs::read(place.path().join(&pax)).unwrap(), b"1");
    assert_eq!(fs::read(place.path().join(&gnu)).unwrap(), b"2");
    assert_eq!(fs::read_link(place.path().join("link")).unwrap().to_str(), Some(gnu.as_str()));
}

#[test]
fn an_xattr_may_hold_newlines_or_nothing() {
    let place = directory();
    let values: &[(&str, &[u8])] = &[("SCHILY.xattr.user.lines", b"a\nb=\n\0"), ("SCHILY.xattr.user.empty", b"")];
    let done = unpacked(&Tar::new().pax(values).file("f", "x").end(), place.path()).unwrap();
    assert_eq!(done.xattrs_lost, 0);
    let mut value = [0u8; 64];
    let length = rustix::fs::lgetxattr(place.path().join("f"), "user.lines", &mut value[..]).unwrap();
    assert_eq!(&value[..length], b"a\nb=\n\0");
    assert_eq!(rustix::fs::lgetxattr(place.path().join("f"), "user.empty", &mut value[..]), Ok(0));
}

/// Checklist: XA-05~
#[test]
fn a_capability_survives_the_chown() {
    if !root_is_here("a_capability_survives_the_chown") {
        return;
    }
    let place = directory();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let records: &[(&str, &[u8])] = &[("SCHILY.xattr.security.capability", &capability), ("uid", b"33")];
    unpacked(&Tar::new().pax(records).file("f", "x").end(), place.path()).unwrap();
    let mut value = [0u8; 64];
    assert_eq!(rustix::fs::lgetxattr(place.path().join("f"), "security.capability", &mut value[..]), Ok(20));
    assert_eq!(fs::metadata(place.path().join("f")).unwrap().uid(), 33);
}

/// Checklist: WH-10, OP-01
#[test]
fn whiteouts_become_devices_and_opaque_marks_become_xattrs() {
    let place = directory();
    let tar = Tar::new().dir("d/", 0o755).file("d/.wh..wh..opq", "").file("d/new", "x").file(".wh.gone", "").end();
    unpacked(&tar, place.path()).unwrap();
    assert!(opaque(&place.path().join("d")) && is_whiteout(&place.path().join("gone")));
    assert_eq!(listing(place.path()).len(), 3);
}

/// Checklist: OP-02~, PM-05~
#[test]
fn an_opaque_mark_may_come_before_its_directory() {
    let place = directory();
    unpacked(&Tar::new().file("d/.wh..wh..opq", "").dir("d/", 0o700).end(), place.path()).unwrap();
    assert!(opaque(&place.path().join("d")));
    assert_eq!(fs::metadata(place.path().join("d")).unwrap().mode() & 0o7777, 0o700);
}

/// Checklist: WH-12, DF-09
#[test]
fn a_whiteout_leaves_what_the_layer_itself_has_whichever_comes_first() {
    let own = Tar::new().dir("d/", 0o755).file("d/f", "four").file("g", "seven77");
    let whiteouts_last = own.file(".wh.d", "").file(".wh.g", "").end();
    let whiteouts = Tar::new().file(".wh.d", "").file(".wh.g", "");
    let whiteouts_first = whiteouts.dir("d/", 0o755).file("d/f", "four").file("g", "seven77").end();
    for tar in [whiteouts_last, whiteouts_first] {
        let place = directory();
        let done = unpacked(&tar, place.path()).unwrap();
        assert!(opaque(&place.path().join("d")) && fs::read(place.path().join("g")).unwrap() == b"seven77");
        let unnamed = vec![PathBuf::new()];
        assert_eq!(done, Unpacked { size_bytes: 11, told_bytes: 11, entries: 5, unnamed, ..Unpacked::default() });
    }
}

/// Checklist: WH-12
#[test]
fn a_directory_that_no_entry_names_takes_the_place_of_a_whiteout() {
    let place = directory();
    let done = unpacked(&Tar::new().file(".wh.d", "").file("d/e/f", "x").end(), place.path()).unwrap();
    assert!(opaque(&place.path().join("d")) && place.path().join("d/e/f").is_file());
    assert_eq!(done.unnamed, ["", "d/e"].map(PathBuf::from), "what takes a place is no old directory");
}

/// Checklist: WH-12
#[test]
fn a_directory_in_the_place_of_a_whiteout_hides_what_the_whiteout_hid() {
    let place = directory();
    unpacked(&Tar::new().file(".wh.d", "").dir("d/", 0o755).end(), place.path()).unwrap();
    assert!(opaque(&place.path().join("d")));
}

#[test]
fn the_bookkeeping_of_aufs_is_no_content() {
    let place = directory();
    let tar = Tar::new().dir(".wh..wh.plnk/", 0o700).file(".wh..wh.plnk/1.2", "x").file(".wh..wh.aufs", "");
    let done = unpacked(&tar.end(), place.path()).unwrap();
    assert!(listing(place.path()).is_empty());
    assert_eq!(done.entries, 3);
}

#[test]
fn a_directory_that_is_there_is_kept_and_anything_else_is_replaced() {
    let place = directory();
    let tar =
        Tar::new().file("d/kept", "x").dir("d/", 0o700).file("f", "old").dir("/f/", 0o755).symlink("/d/kept", "y");
    unpacked(&tar.end(), place.path()).unwrap();
    let seen = listing(place.path());
    let what: Vec<_> = seen.iter().map(|(path, seen)| (path.to_str().unwrap(), seen.what.as_str())).collect();
    assert_eq!(what, [("d", "directory"), ("d/kept", "symlink to y"), ("f", "directory")]);
}

#[test]
fn a_replaced_name_leaves_its_other_hard_link_alone() {
    let place = directory();
    let tar = Tar::new().file("a", "old").hard_link("b", "/a").file("/b", "new").end();
    unpacked(&tar, place.path()).unwrap();
    assert_eq!(fs::read(place.path().join("a")).unwrap(), b"old");
    assert_eq!(fs::read(place.path().join("b")).unwrap(), b"new");
}

/// Checklist: HL-08, HL-09~, DF-09, QU-02~
#[test]
fn hard_link_targets_are_read_from_the_layers_root() {
    let place = directory();
    let tar = Tar::new().file("usr/bin/a", "x").symlink("bin", "usr/bin");
    let tar = tar.hard_link("b", "/usr/bin/a").hard_link("c", "./usr/bin/../bin/a").hard_link("d", "bin/a");
    let done = unpacked(&tar.end(), place.path()).unwrap();
    assert_eq!(fs::metadata(place.path().join("usr/bin/a")).unwrap().nlink(), 4);
    assert_eq!(done.size_bytes, 1 + "usr/bin".len() as u64, "hard links count once, symlinks with their targets");
}

#[test]
fn a_file_in_the_way_of_a_directory_is_an_error_that_names_the_entry() {
    let result = unpacked(&Tar::new().file("a", "").file("a/b", "").end(), directory().path());
    assert!(matches!(&result, Err(UnpackError::Io { path, .. }) if path.to_str() == Some("a/b")), "{result:?}");
}

#[test]
fn in_files_that_are_no_layer_the_last_of_a_name_counts_and_whiteouts_are_names() {
    let place = directory();
    let options = UnpackOptions { contents: Contents::Files, ..options() };
    let tar =
        Tar::new().dir("./", 0o700).file("a", "old").file(".wh.a", "w").file("d/.wh..wh..opq", "o").file(".wh.", "n");
    unpack(&tar.dir("b/c/", 0o755).file("b", "").file("a", "new").end()[..], place.path(), &options).unwrap();
    let text = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let names = [("a", "new"), (".wh.a", "w"), ("d/.wh..wh..opq", "o"), (".wh.", "n"), ("b", "")];
    assert!(names.iter().all(|(name, expected)| text(name) == *expected));
    assert!(!opaque(&place.path().join("d")));
}

#[test]
fn copies_replace_neither_a_directory_nor_something_else_by_one() {
    let place = directory();
    fs::create_dir_all(place.path().join("d/kept")).unwrap();
    fs::write(place.path().join("f"), "kept").unwrap();
    let copied = |tar: Vec<u8>| {
        let options = UnpackOptions { contents: Contents::Copies, ..options() };
        unpack(&tar[..], place.path(), &options).map_err(|error| error.below(Path::new("/shown")).to_string())
    };
    for tar in [Tar::new().file("d", ""), Tar::new().symlink("d", "f"), Tar::new().file("x", "").hard_link("d", "x")] {
        let refused = copied(tar.end()).unwrap_err();
        assert_eq!(refused, "cannot overwrite directory \"/shown/d\" with non-directory \"/shown\"");
    }
    let refused = copied(Tar::new().dir("f/", 0o755).end()).unwrap_err();
    assert_eq!(refused, "cannot overwrite non-directory \"/shown/f\" with directory \"/shown\"");
    assert!(place.path().join("d/kept").is_dir());
    copied(Tar::new().dir("d/", 0o755).file("d/new", "").file("f", "new").end()).unwrap();
    assert!(place.path().join("d/kept").is_dir() && place.path().join("d/new").is_file());
    assert_eq!(fs::read_to_string(place.path().join("f")).unwrap(), "new");
}

/// As dockerd makes it, where a tar has only what is in it; a tar that has the directory itself says by it that a name is gone.
///
/// Checklist: WH-13
#[test]
fn a_directory_whose_name_begins_with_wh_is_made_for_what_is_in_it() {
    let place = directory();
    unpacked(&Tar::new().file("d/.wh.sub/file", "x").file("d/keep", "k").end(), place.path()).unwrap();
    assert_eq!(fs::read_to_string(place.path().join("d/.wh.sub/file")).unwrap(), "x");
    assert_eq!(fs::read_to_string(place.path().join("d/keep")).unwrap(), "k");
    if root_is_here("a directory that is a whiteout") {
        let place = directory();
        unpacked(&Tar::new().dir("d/", 0o755).dir("d/.wh.gone/", 0o755).end(), place.path()).unwrap();
        assert!(is_whiteout(&place.path().join("d/gone")));
    }
}
