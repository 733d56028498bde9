//! Owners where this user may give any, some or none.

use layerlab_scenarios::skip::skip;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use layerlab_engine::layer::{Contents, OverlayXattr, Owners, UnpackError, UnpackOptions, Unpacked, unpack};

use crate::scene::{Tar, directory, root_is_here};

/// Set in the child that runs inside a user namespace with a single id.
const INSIDE: &str = "LAYER_TEST_IN_SINGLE_ID_NAMESPACE";

fn web_server_tar() -> Vec<u8> {
    let own = |uid: u64, gid: u64| move |header: &mut tar::Header| (header.set_uid(uid), header.set_gid(gid)).0;
    let tar = Tar::new().entry(b'5', "mine/", "", 0o755, b"", own(0, 0));
    tar.entry(b'5', "htdocs/", "", 0o755, b"", own(33, 33)).entry(b'0', "group", "", 0o644, b"", own(0, 33)).end()
}

fn try_owners(root: &Path, owners: Owners) -> Result<Unpacked, UnpackError> {
    unpack(
        &web_server_tar()[..],
        root,
        &UnpackOptions { contents: Contents::Layer, overlay: OverlayXattr::User, owners },
    )
}

/// Runs the named test of this binary again with one mapped id, or says why not.
fn run_in_single_id_namespace(test: &str) {
    let program = std::env::current_exe().unwrap();
    let probe = Command::new("unshare").args(["--user", "--map-root-user", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        skip("user", &format!("{test}: unshare cannot make a user namespace here"));
        return;
    }
    let child = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(program)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned() + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

fn inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

#[test]
fn root_gives_the_recorded_owners() {
    if !root_is_here("root_gives_the_recorded_owners") {
        return;
    }
    let place = directory();
    assert_eq!(try_owners(place.path(), Owners::AsRecorded).unwrap().owners_lost, 0);
    let htdocs = fs::metadata(place.path().join("htdocs")).unwrap();
    assert_eq!((htdocs.uid(), htdocs.gid()), (33, 33));
}

#[test]
fn the_callers_own_ids_lose_the_recorded_ones_and_say_how_many() {
    let place = directory();
    let done = try_owners(place.path(), Owners::CallerOnly).unwrap();
    let caller = rustix::process::geteuid();
    assert_eq!(done.owners_lost, if caller.is_root() { 2 } else { 3 });
    assert_eq!(fs::metadata(place.path().join("htdocs")).unwrap().uid(), caller.as_raw());
}

/// Checklist: US-03
#[test]
fn squashing_never_fails_for_want_of_privilege() {
    let place = directory();
    let done = try_owners(place.path(), Owners::SquashUnmapped).unwrap();
    let recorded = [("mine", (0, 0)), ("htdocs", (33, 33)), ("group", (0, 33))];
    let lost = recorded.iter().filter(|(name, owner)| {
        let made = fs::metadata(place.path().join(name)).unwrap();
        (made.uid(), made.gid()) != *owner
    });
    assert_eq!(done.owners_lost, lost.count() as u64);
}

#[test]
fn an_unmapped_owner_is_refused_with_the_way_out() {
    if !inside() {
        return run_in_single_id_namespace("owners::an_unmapped_owner_is_refused_with_the_way_out");
    }
    let error = try_owners(directory().path(), Owners::AsRecorded).unwrap_err();
    assert!(matches!(&error, UnpackError::UnmappedOwner { uid: 33, gid: 33, path, .. } if path == Path::new("htdocs")));
    let said = error.to_string();
    for words in ["needs uid 33, which is not mapped here", "newuidmap", "/etc/subuid", "--squash-owners", "htdocs"] {
        assert!(said.contains(words), "{said}");
    }
}

/// Checklist: US-03
#[test]
fn squashing_keeps_what_is_mapped_and_counts_what_is_not() {
    if !inside() {
        return run_in_single_id_namespace("owners::squashing_keeps_what_is_mapped_and_counts_what_is_not");
    }
    let place = directory();
    assert_eq!(try_owners(place.path(), Owners::SquashUnmapped).unwrap().owners_lost, 2);
    assert_eq!(fs::metadata(place.path().join("htdocs")).unwrap().uid(), 0);
}

/// Checklist: SP-03~, SP-05
#[test]
fn a_user_namespace_makes_whiteouts_but_no_devices() {
    if !inside() {
        return run_in_single_id_namespace("owners::a_user_namespace_makes_whiteouts_but_no_devices");
    }
    let options = UnpackOptions { contents: Contents::Layer, overlay: OverlayXattr::User, owners: Owners::AsRecorded };
    let place = directory();
    unpack(&Tar::new().file(".wh.gone", "").file("d/.wh..wh..opq", "").end()[..], place.path(), &options).unwrap();
    assert!(crate::scene::is_whiteout(&place.path().join("gone")));
    let null = |header: &mut tar::Header| {
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
    };
    let tar = Tar::new().entry(b'3', "dev/null", "", 0o666, b"", null).end();
    let error = unpack(&tar[..], place.path(), &options).unwrap_err();
    assert!(matches!(&error, UnpackError::DeviceRefused { path } if path == Path::new("dev/null")), "{error}");
}
