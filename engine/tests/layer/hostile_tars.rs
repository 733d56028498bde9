//! Tars that try to get out of their root, or to be read in two ways: each is refused or stays inside.
//!
//! Checklist: N-19~

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use layerlab_engine::layer::archive::ArchiveError;
use layerlab_engine::layer::{OverlayXattr, UnpackError, UnpackOptions, unpack};

use crate::scene::{Tar, directory, is_root, is_whiteout, listing, options, unpacked};

/// Unpacks beside a canary directory and demands that it is as before, whatever became of the layer.
pub fn attack(name: &str, make: impl FnOnce(&Path) -> Vec<u8>) -> (Result<(), UnpackError>, tempfile::TempDir) {
    let place = directory();
    let (root, canary) = (place.path().join("root"), place.path().join("canary"));
    fs::create_dir(&root).unwrap();
    fs::create_dir(&canary).unwrap();
    fs::write(canary.join("file"), "alive").unwrap();
    let before = listing(&canary);
    let tar = make(&canary);
    let result = unpacked(&tar, &root).map(drop);
    assert_eq!(listing(&canary), before, "{name}: the canary was touched");
    assert_eq!(fs::symlink_metadata(canary.join("file")).unwrap().len(), 5, "{name}");
    let mut beside: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    beside.sort();
    assert_eq!(beside, ["canary", "root"], "{name}: something new beside the root");
    (result, place)
}

/// Checklist: SE-01
#[test]
fn names_that_climb_out_are_refused() {
    for name in ["../canary/file", "a/../../canary/file", "..", "../", "./../canary/new"] {
        let (result, _place) = attack(name, |_| Tar::new().dir("a/", 0o755).file(name, "dead").end());
        assert!(matches!(result, Err(UnpackError::Escapes { .. })), "{name}: {result:?}");
    }
}

/// Checklist: SE-01
#[test]
fn absolute_names_stay_inside() {
    let (result, place) = attack("absolute", |_| Tar::new().file("/etc/passwd", "in").file("/../top", "in").end());
    result.unwrap();
    assert_eq!(fs::read(place.path().join("root/etc/passwd")).unwrap(), b"in");
    assert_eq!(fs::read(place.path().join("root/top")).unwrap(), b"in");
}

/// Checklist: WH-14, SE-02, SE-04
#[test]
fn symlinked_parents_lead_nowhere_outside() {
    for target in ["../canary", "/canary", "../../../../../../canary"] {
        let make = |name: &'static str| {
            move |canary: &Path| {
                let absolute = canary.to_str().unwrap();
                let target = if target == "/canary" { absolute } else { target };
                let tar = Tar::new().symlink("link", target);
                match name {
                    "file" => tar.file("link/file", "dead"),
                    "directory" => tar.dir("link/", 0o700).dir("link/new/", 0o700),
                    "whiteout" => tar.file("link/.wh.file", ""),
                    "opaque" => tar.file("link/.wh..wh..opq", ""),
                    "symlink" => tar.symlink("link/file", "x"),
                    "hard link" => tar.hard_link("stolen", "link/file"),
                    _ => tar.entry(b'6', "link/file", "", 0o644, b"", |_| {}),
                }
                .end()
            }
        };
        for name in ["file", "directory", "whiteout", "opaque", "symlink", "hard link", "fifo"] {
            let (_, place) = attack(&format!("{name} through {target}"), make(name));
            assert!(!place.path().join("root/stolen").exists());
        }
    }
}

/// Checklist: SE-02
#[test]
fn a_chain_of_symlinks_leads_nowhere_outside() {
    let (result, _place) = attack("a chain", |canary| {
        let up = Tar::new().dir("a/", 0o755).symlink("a/up", "..").symlink("a/out", "up/../canary");
        up.symlink("b", canary.to_str().unwrap()).file("a/out/file", "dead").file("b/file", "dead").end()
    });
    assert!(matches!(result, Err(UnpackError::Io { .. })), "{result:?}");
}

/// Checklist: SE-02
#[test]
fn a_file_over_a_symlink_replaces_the_symlink() {
    let (result, place) = attack("over a symlink", |canary| {
        let target = canary.join("file");
        let absolute = Tar::new().symlink("one", target.to_str().unwrap()).symlink("two", "../canary");
        absolute.file("/one", "mine").dir("/two/", 0o700).end()
    });
    result.unwrap();
    assert_eq!(fs::read(place.path().join("root/one")).unwrap(), b"mine");
    assert!(fs::symlink_metadata(place.path().join("root/two")).unwrap().is_dir());
}

/// Checklist: SE-01
#[test]
fn hard_links_to_the_outside_are_refused() {
    for target in ["../canary/file", "a/../../canary/file"] {
        let (result, _place) = attack(target, |_| Tar::new().hard_link("stolen", target).end());
        assert!(matches!(result, Err(UnpackError::Escapes { .. })), "{target}: {result:?}");
    }
    let (result, _place) =
        attack("absolute", |canary| Tar::new().hard_link("stolen", canary.join("file").to_str().unwrap()).end());
    assert!(matches!(result, Err(UnpackError::MissingLinkTarget { .. })), "{result:?}");
}

/// Checklist: HL-09~, SE-04
#[test]
fn a_hard_link_to_a_symlink_does_not_pass_its_attributes_on() {
    let (result, place) = attack("mode through links", |canary| {
        let tar = Tar::new().symlink("link", canary.join("file").to_str().unwrap());
        tar.entry(b'1', "second", "link", 0o4777, b"", |_| {}).end()
    });
    result.unwrap();
    assert!(fs::symlink_metadata(place.path().join("root/second")).unwrap().is_symlink());
}

#[test]
fn a_root_entry_must_be_a_directory() {
    for name in ["", ".", "./", "/", "/."] {
        for kind in [b'0', b'1', b'2', b'6'] {
            let (result, _place) =
                attack(name, |_| Tar::new().entry(kind, name, "../canary", 0o777, b"", |_| {}).end());
            let refused = matches!(result, Err(UnpackError::RootNotADirectory { .. }));
            assert!(refused, "{name:?} as {}: {result:?}", char::from(kind));
        }
    }
}

/// Checklist: WH-11, SE-05
#[test]
fn whiteouts_of_nothing_of_here_and_of_above_are_refused() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh...", "a/.wh.."] {
        let (result, _place) = attack(name, |_| Tar::new().dir("a/", 0o755).file(name, "").end());
        assert!(matches!(result, Err(UnpackError::EmptyWhiteout { .. })), "{name}: {result:?}");
    }
}

/// Checklist: XA-12
#[test]
fn an_xattr_of_a_tar_is_no_mark_and_is_there_under_another_name() {
    let tar = Tar::new().pax(OVERLAYS_OWN).dir("d/", 0o755).end();
    let kept = |overlay| {
        let place = directory();
        let done = unpack(&tar[..], place.path(), &UnpackOptions { overlay, ..options() }).unwrap();
        let mut list = [0u8; 256];
        let length = rustix::fs::llistxattr(place.path().join("d"), &mut list[..]).unwrap();
        let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
        let names: BTreeSet<String> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert_eq!(done.xattrs_lost, 3 - names.len() as u64);
        names.into_iter().filter(|name| !name.starts_with("trusted.") || is_root()).collect::<Vec<_>>()
    };
    let trusted = |name: &'static str| Some(name).filter(|_| is_root());
    let names = |trusted: Option<&'static str>, users: [&'static str; 2]| {
        trusted.into_iter().chain(users).map(str::to_owned).collect::<Vec<_>>()
    };
    let (own, escaped) = (
        ["user.overlay.opaque", "user.overlay.redirect"],
        ["user.overlay.overlay.opaque", "user.overlay.overlay.redirect"],
    );
    assert_eq!(kept(OverlayXattr::Trusted), names(trusted("trusted.overlay.overlay.redirect"), own));
    assert_eq!(kept(OverlayXattr::User), names(trusted("trusted.overlay.redirect"), escaped));
    assert_eq!(kept(OverlayXattr::None), names(trusted("trusted.overlay.redirect"), own));
    assert!(kept(OverlayXattr::Program).is_empty(), "the program would read them");
}

/// What an overlay would take for its own.
const OVERLAYS_OWN: &[(&str, &[u8])] = &[
    ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
    ("SCHILY.xattr.user.overlay.redirect", b"/etc"),
    ("SCHILY.xattr.user.overlay.opaque", b"y"),
];

#[test]
fn a_name_that_comes_twice_is_refused() {
    for (first, second) in [("a", "a"), ("a", "./a"), ("d/a", "d//x/../a")] {
        let tar = Tar::new().file(first, "1").file(second, "2").end();
        let result = unpacked(&tar, directory().path());
        assert!(matches!(result, Err(UnpackError::Duplicate { .. })), "{first} {second}: {result:?}");
    }
}

#[test]
fn a_tar_cut_anywhere_inside_an_entry_is_an_error() {
    const AFTER_A: usize = 512 + 512 + 512 + 1024;
    let whole = Tar::new().pax(&[("mtime", b"1.5")]).file("a", &"x".repeat(700)).file("b", "").open_end();
    for length in 0..whole.len() {
        let between_entries = [0, AFTER_A, whole.len()].contains(&length);
        let result = unpacked(&whole[..length], directory().path());
        let cut = matches!(result, Err(UnpackError::Archive(ArchiveError::Truncated { .. })));
        assert_eq!(cut, !between_entries, "{length}: {result:?}");
    }
}

#[test]
fn damaged_headers_are_errors() {
    let good = Tar::new().file("a", "x").end();
    let mut flipped = good.clone();
    flipped[3] ^= 1;
    let mut hole = good[..1024].to_vec();
    hole.extend_from_slice(&[[0; 512].as_slice(), &good[..1024]].concat());
    let huge = Tar::new().entry(b'x', "x", "", 0, b"", |header| header.set_size(1 << 40)).end();
    let owner = Tar::new().pax(&[("uid", b"4294967295")]).file("a", "").end();
    let broken = Tar::new().entry(b'x', "x", "", 0, b"99 path=a\n", |_| {}).file("a", "").end();
    let nul = Tar::new().pax(&[("path", b"a\0b")]).file("a", "").end();
    for tar in [flipped, hole, huge, owner, broken, nul, vec![b'x'; 4096]] {
        let result = unpacked(&tar, directory().path());
        assert!(matches!(result, Err(UnpackError::Archive(ArchiveError::Malformed { .. }))), "{result:?}");
    }
}

/// Checklist: N-22~
#[test]
fn names_that_no_path_can_hold_are_refused_before_they_are_kept() {
    let long = "d/".repeat(2048);
    let name = Tar::new().pax(&[("path", long.as_bytes())]).file("a", "").end();
    let target = Tar::new().pax(&[("linkpath", long.as_bytes())]).symlink("a", "b").end();
    let gnu = Tar::new().entry(b'L', "x", "", 0, "n".repeat(1 << 20).as_bytes(), |_| {}).file("a", "").end();
    for tar in [name, target, gnu] {
        let error = unpacked(&tar, directory().path()).unwrap_err().to_string();
        assert!(error.contains("name of ") && error.contains(" bytes, where 4095 are possible"), "{error}");
    }
}

#[test]
fn unknown_entries_are_refused_by_name() {
    let tar = Tar::new().entry(b'M', "a", "", 0, b"", |_| {}).end();
    let result = unpacked(&tar, directory().path());
    let named = matches!(&result, Err(UnpackError::Archive(ArchiveError::Unsupported { name, .. })) if name == "a");
    assert!(named, "{result:?}");
}

/// Checklist: TR-04
#[test]
fn whatever_comes_after_the_end_is_read_too() {
    let mut tar = Tar::new().file("a", "x").end();
    tar.extend_from_slice(&[0; 10_000]);
    tar.extend_from_slice(b"not a tar");
    let place = directory();
    let mut reader = layerlab_engine::image::DigestReader::new(&tar[..]);
    unpack(&mut reader, place.path(), &options()).unwrap();
    assert_eq!(reader.finish(), (layerlab_engine::image::Digest::of(&tar), tar.len() as u64));
}

/// Checklist: WH-14
#[test]
fn a_whiteout_through_a_symlinked_parent_lands_inside() {
    let (result, place) = attack("whiteout inside", |_| {
        Tar::new().dir("real/", 0o755).symlink("link", "/real").file("link/.wh.gone", "").end()
    });
    result.unwrap();
    assert!(is_whiteout(&place.path().join("root/real/gone")));
}
