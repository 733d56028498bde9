//! Layers as bytes and as trees: dockerd's own tar comes out, hostile ones do no harm, and what goes in comes back.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use layerlab_engine::image::Digest;
use layerlab_engine::layer::{OverlayXattr, Owners, PackOptions, UnpackError, UnpackOptions, pack, unpack};
use proptest::prelude::*;
use tar::{Builder, EntryType, Header};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn options() -> UnpackOptions {
    let overlay = if is_root() { OverlayXattr::Trusted } else { OverlayXattr::User };
    UnpackOptions { overlay, owners: if is_root() { Owners::AsRecorded } else { Owners::CallerOnly } }
}

fn pack_options() -> PackOptions {
    PackOptions::of_this_host(options().overlay)
}

/// A tar of (type, name, link target or content).
fn tar_of(entries: &[(EntryType, &str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (kind, name, text) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(*kind);
        header.set_mode(0o755);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        // Written raw: the builder itself refuses hostile names.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let is_link = matches!(kind, EntryType::Link | EntryType::Symlink);
        if is_link {
            header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        let content = if is_link { "" } else { text };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// The layer that dockerd 20.10 committed for an edited httpd: same directory, same tar, same diff ID.
#[test]
fn the_tar_of_a_committed_layer_is_dockerds_byte_for_byte() {
    if !is_root() {
        eprintln!("skipped: a file of another owner can only be made by root");
        return;
    }
    let upper = tempfile::tempdir().unwrap();
    let files: [(&str, u32, u32, i64, Option<&str>); 9] = [
        ("root", 0o700, 0, 0o15300171442, None),
        ("root/.bash_history", 0o600, 0, 0o15300171442, Some("x\n")),
        ("usr", 0o755, 0, 0o14354444645, None),
        ("usr/local", 0o755, 0, 0o15300171226, None),
        ("usr/local/apache2", 0o755, 33, 0o15300171227, None),
        ("usr/local/apache2/htdocs", 0o755, 0, 0o15300171227, None),
        ("usr/local/apache2/htdocs/index.html", 0o644, 0, 0o15300171442, Some("hello world\n")),
        ("usr/local/apache2/logs", 0o755, 0, 0o15300171443, None),
        ("", 0o755, 0, 0, None),
    ];
    for (name, mode, owner, _, content) in files.iter().filter(|file| !file.0.is_empty()) {
        let path = upper.path().join(name);
        match content {
            Some(text) => fs::write(&path, text).unwrap(),
            None => fs::create_dir(&path).unwrap(),
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(*owner), Some(*owner)).unwrap();
    }
    for (name, _, _, seconds, _) in &files {
        set_time(&upper.path().join(name), *seconds);
    }
    let names =
        |id| [(0, "root"), (33, "www-data")].iter().find(|(known, _)| *known == id).map(|(_, name)| name.to_string());
    let options = PackOptions { overlay: OverlayXattr::Trusted, user_name: names, group_name: names };
    let packed = pack(upper.path(), &options, std::io::sink()).unwrap();
    assert_eq!(packed.diff_id.hex(), "47305faa3fde276127931b2b356789b805b65ffaa5297d979a1139773231ee42");
    assert_eq!(packed.entries, 8);
}

fn set_time(path: &Path, seconds: i64) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Every attack leaves what lies beside the root as it was, whether the layer is refused or taken.
#[test]
fn a_hostile_tar_changes_nothing_outside_its_root() {
    use EntryType::{Directory, Link, Regular, Symlink};
    let attacks: &[&[(EntryType, &str, &str)]] = &[
        &[(Regular, "../canary", "owned")],
        &[(Regular, "a/../../canary", "owned")],
        &[(Regular, "/../canary", "owned")],
        &[(Symlink, "out", ".."), (Regular, "out/canary", "owned")],
        &[(Symlink, "out", "../"), (Symlink, "again", "out/.."), (Regular, "again/canary", "owned")],
        &[(Symlink, "out", "/"), (Regular, "out/canary", "owned")],
        &[(Symlink, "canary", "../canary"), (Regular, "canary", "owned")],
        &[(Link, "mine", "../canary"), (Regular, "mine", "owned")],
        &[(Symlink, "out", ".."), (Link, "mine", "out/canary"), (Regular, "mine", "owned")],
        &[(Symlink, "out", ".."), (Regular, "out/.wh.canary", "")],
        &[(Regular, ".wh...", "")],
        &[(Regular, ".wh..", "")],
        &[(Regular, "../.wh.canary", "")],
        &[(Symlink, "out", ".."), (Regular, "out/.wh..wh..opq", "")],
        &[(Symlink, "out", ".."), (Directory, "out", "")],
        &[(Symlink, "out", "../directory"), (Directory, "out/", "")],
        &[(Symlink, "proc", "/proc/self/root"), (Regular, "proc/canary", "owned")],
    ];
    for attack in attacks {
        let place = tempfile::tempdir().unwrap();
        let (canary, root) = (place.path().join("canary"), place.path().join("root"));
        fs::write(&canary, "alive").unwrap();
        fs::create_dir(&root).unwrap();
        fs::create_dir(place.path().join("directory")).unwrap();
        set_time(place.path().join("directory").as_path(), 7);
        let before = fs::metadata(&canary).unwrap();
        let _refused_or_tamed = unpack(tar_of(attack).as_slice(), &root, &options());
        let after = fs::metadata(&canary).unwrap();
        assert_eq!(fs::read_to_string(&canary).unwrap(), "alive", "{attack:?}");
        assert_eq!(
            (before.ino(), before.nlink(), before.mode()),
            (after.ino(), after.nlink(), after.mode()),
            "{attack:?}"
        );
        assert_eq!(fs::metadata(place.path().join("directory")).unwrap().mtime(), 7, "{attack:?}");
        let beside = fs::read_dir(place.path()).unwrap().count();
        assert_eq!(beside, 3, "{attack:?}");
        assert!(!Path::new("/canary").exists(), "{attack:?}");
    }
}

#[test]
fn whiteouts_become_devices_and_opaque_marks() {
    use EntryType::{Directory, Regular};
    let root = tempfile::tempdir().unwrap();
    let layer = tar_of(&[
        (Directory, "etc/", ""),
        (Regular, "etc/.wh..wh..opq", ""),
        (Regular, "etc/.wh.hosts", ""),
        (Regular, ".wh..wh.plnk", ""),
        (Regular, "gone", "soon"),
        (Regular, ".wh.gone", ""),
    ]);
    match unpack(layer.as_slice(), root.path(), &options()) {
        Err(UnpackError::Io { source, .. }) if source.raw_os_error() == Some(libc::EPERM) && !is_root() => {
            eprintln!("skipped: an ordinary user makes whiteouts only in a user namespace: {source}");
            return;
        }
        result => result.map(drop).unwrap(),
    }
    for whiteout in ["etc/hosts", "gone"] {
        let meta = root.path().join(whiteout).symlink_metadata().unwrap();
        assert!(meta.file_type().is_char_device() && meta.rdev() == 0, "{whiteout}");
    }
    let mut value = [0; 8];
    let length = rustix::fs::getxattr(root.path().join("etc"), options().overlay.opaque(), &mut value).unwrap();
    assert_eq!(&value[..length], b"y");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);

    let mut bytes = Vec::new();
    pack(root.path(), &pack_options(), &mut bytes).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["etc/", "etc/.wh..wh..opq", "etc/.wh.hosts", ".wh.gone"]);
}

#[test]
fn an_owner_without_a_number_here_is_named_with_the_way_out() {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_uid(u64::from(u32::MAX));
    header.set_gid(0);
    header.set_mode(0o644);
    header.set_size(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append_data(&mut header, "etc/shadow", &b""[..]).unwrap();
    let layer = builder.into_inner().unwrap();
    let root = tempfile::tempdir().unwrap();
    let as_recorded = UnpackOptions { owners: Owners::AsRecorded, ..options() };
    let error = unpack(layer.as_slice(), root.path(), &as_recorded).unwrap_err().to_string();
    assert!(
        error.contains("etc/shadow") && error.contains("newuidmap") && error.contains("--squash-owners"),
        "{error}"
    );

    let root = tempfile::tempdir().unwrap();
    let squashed = UnpackOptions { owners: Owners::CallerOnly, ..options() };
    assert_eq!(unpack(layer.as_slice(), root.path(), &squashed).unwrap().owners_lost, 1);
}

#[test]
fn a_tar_that_is_cut_off_is_refused() {
    let whole = tar_of(&[(EntryType::Regular, "file", &"x".repeat(2000))]);
    for length in [100, 600, 1500] {
        let root = tempfile::tempdir().unwrap();
        assert!(unpack(&whole[..length], root.path(), &options()).is_err(), "{length}");
    }
}

#[test]
fn a_stream_is_read_to_its_end_whatever_follows_the_last_entry() {
    let mut layer = tar_of(&[(EntryType::Regular, "file", "x")]);
    layer.extend(vec![7; 100_000]);
    let root = tempfile::tempdir().unwrap();
    let mut reader = layerlab_engine::image::DigestReader::new(layer.as_slice());
    unpack(&mut reader, root.path(), &options()).unwrap();
    assert_eq!(reader.finish(), (Digest::of(&layer), layer.len() as u64));
}

/// One file of a random tree: its place among few names, and what it is.
#[derive(Debug, Clone)]
enum Made {
    File(Vec<u8>, u32),
    Directory(u32),
    Link(String),
    Alias(usize),
}

fn trees() -> impl Strategy<Value = Vec<(Vec<u8>, Made)>> {
    let made = prop_oneof![
        3 => (prop::collection::vec(any::<u8>(), 0..3000), 0_u32..0o10000).prop_map(|(bytes, mode)| Made::File(bytes, mode | 0o400)),
        3 => (0_u32..0o10000).prop_map(|mode| Made::Directory(mode | 0o700)),
        1 => "[a-z./]{1,120}".prop_map(Made::Link),
        1 => (0_usize..8).prop_map(Made::Alias),
    ];
    let name = prop_oneof![
        "[ab]".prop_map(String::into_bytes),
        "[a-zü]{90,120}".prop_map(String::into_bytes),
        Just(b"\xff\x01-".to_vec())
    ];
    prop::collection::vec((name, made), 1..12)
}

/// Builds the tree below `root`: each entry goes into the directory that was made last.
fn build(root: &Path, tree: &[(Vec<u8>, Made)]) {
    use std::os::unix::ffi::OsStrExt;
    let mut directory = root.to_owned();
    let mut files = Vec::new();
    let mut modes = Vec::new();
    for (name, made) in tree {
        let path = directory.join(std::ffi::OsStr::from_bytes(name));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match made {
            Made::File(bytes, mode) => {
                fs::write(&path, bytes).unwrap();
                modes.push((path.clone(), *mode));
                files.push(path);
            }
            Made::Directory(mode) => {
                fs::create_dir(&path).unwrap();
                modes.push((path.clone(), *mode));
                directory = path;
            }
            Made::Link(target) => symlink(target, &path).unwrap(),
            Made::Alias(index) if !files.is_empty() => fs::hard_link(&files[index % files.len()], &path).unwrap(),
            Made::Alias(_) => {}
        }
    }
    for (path, mode) in modes {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// unpack(pack(tree)) = tree, seen through the tar of both, which holds every name, mode, owner, time, link and byte.
    #[test]
    fn what_is_packed_comes_back(tree in trees()) {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        build(first.path(), &tree);
        let mut bytes = Vec::new();
        let packed = pack(first.path(), &pack_options(), &mut bytes).unwrap();
        prop_assert_eq!(&packed.diff_id, &Digest::of(&bytes));
        let unpacked = unpack(bytes.as_slice(), second.path(), &options()).unwrap();
        prop_assert_eq!(unpacked.entries, packed.entries);
        let again = pack(second.path(), &pack_options(), std::io::sink()).unwrap();
        prop_assert_eq!(again, packed);
    }
}
