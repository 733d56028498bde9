//! Layers that Docker 20.10.24 committed with overlay2: the same upper must give the same diff ID.
//!
//! Each upper is rebuilt from what Docker was told to do and from the recorded modes, owners and times.
//!
//! Checklist: DF-10, ID-05

use std::collections::BTreeMap;
use std::path::PathBuf;

use layerlab_engine::layer::UnpackError;
use rustix::fs::FileType;

use crate::scene::{Seen, Tree, directory, listing, packed, root_is_here, unpacked};

/// Builds an upper as root, packs it, compares with the recorded diff ID, and unpacks and packs once more.
fn assert_recorded(test: &str, diff_id: &str, build: impl FnOnce(&Tree<'_>)) {
    if !root_is_here(test) {
        return;
    }
    let upper = directory();
    build(&Tree(upper.path()));
    let (made, tar) = packed(upper.path());
    assert_eq!(made.diff_id.hex(), diff_id, "{test}");
    let copy = directory();
    let back = unpacked(&tar, copy.path()).unwrap();
    assert_eq!((back.size_bytes, back.entries), (made.size_bytes, made.entries), "{test}");
    assert_eq!(as_a_tar_keeps_it(listing(copy.path())), as_a_tar_keeps_it(listing(upper.path())), "{test}");
}

/// What a tar keeps of a tree: whole seconds, and whiteouts that no longer share an inode.
fn as_a_tar_keeps_it(mut listing: BTreeMap<PathBuf, Seen>) -> BTreeMap<PathBuf, Seen> {
    for seen in listing.values_mut() {
        seen.mtime.1 = 0;
        if seen.what.starts_with("device") {
            seen.what = seen.what.split(", the same").next().unwrap_or_default().to_owned();
        }
    }
    listing
}

/// Checklist: XA-12
#[test]
fn the_modified_httpd_container_commits_to_dockers_diff_id() {
    let id = "47305faa3fde276127931b2b356789b805b65ffaa5297d979a1139773231ee42";
    assert_recorded("the httpd layer", id, |tree| {
        tree.dir("root").mode("root", 0o700).file("root/.bash_history", "x\n", 0o600);
        tree.dir("usr").dir("usr/local").dir("usr/local/apache2").owner("usr/local/apache2", 33, 33);
        tree.dir("usr/local/apache2/htdocs").dir("usr/local/apache2/logs");
        tree.file("usr/local/apache2/htdocs/index.html", "hello world\n", 0o644);
        for marked in ["usr", "usr/local/apache2"] {
            tree.xattr(marked, "trusted.overlay.impure", b"y").xattr(marked, "trusted.overlay.origin", b"\0\xfb\x1d");
        }
        tree.times(1_795_224_354).time("usr", 1_672_628_645, 0).time("usr/local", 1_795_224_214, 417_003);
        tree.time("usr/local/apache2", 1_795_224_215, 0).time("usr/local/apache2/htdocs", 1_795_224_215, 999_999_999);
        tree.time("usr/local/apache2/logs", 1_795_224_355, 1);
    });
}

/// Checklist: WH-07~, WH-10
#[test]
fn whiteouts_that_share_an_inode_carry_dockers_quirk() {
    let id = "af7864194b29d37361812ff7072f0b115487a1ba0ff068eb59a60fdca996588e";
    assert_recorded("two whiteouts", id, |tree| {
        tree.dir("t").dir("t/dir").whiteout("t/dir/a").hard_link("t/dir/sub", "t/dir/a");
        tree.times(1_795_224_864).time("t", 1_795_224_845, 0);
    });
}

/// Checklist: OP-04
#[test]
fn a_replaced_directory_is_opaque() {
    let id = "f02b76420582f22c59e1181493646862b0842eb1610fb0696163d11714322f28";
    assert_recorded("a replaced directory", id, |tree| {
        tree.dir("t").opaque_dir("t/dir").file("t/dir/n", "n\n", 0o644).times(1_795_224_866);
    });
}

/// Checklist: HL-08
#[test]
fn hard_links_point_to_the_first_name() {
    let id = "bb95d43a2aaf355538986f05755b44b192593914dad3d1785c6bffe145296b58";
    assert_recorded("three names", id, |tree| {
        tree.dir("t").file("t/h1", "h\n", 0o644).hard_link("t/h2", "t/h1").hard_link("t/h3", "t/h1");
        tree.times(1_795_224_904);
    });
}

/// Checklist: SP-03~
#[test]
fn devices_and_fifos_are_kept() {
    let table = [
        (
            "chr",
            FileType::CharacterDevice,
            (1, 3),
            908,
            "a2844da3190471086281dab977b7f819b6ae1d5c36bac2346dc7a9d616c77de7",
        ),
        ("blk", FileType::BlockDevice, (7, 0), 909, "f74abebcd3f9254ce551b103be8b313bba84770ea4ca24004cf5498bc24e3a66"),
        ("ff", FileType::Fifo, (0, 0), 912, "512d093abae7b9f4cc12325e9a82f25b7f576b2fd35fc41aad7dc09f5b81e6db"),
    ];
    for (name, kind, device, second, id) in table {
        assert_recorded(name, id, |tree| {
            tree.dir("t").node(&format!("t/{name}"), kind, device, 0o644).times(1_795_224_000 + second);
        });
    }
}

/// Checklist: XA-05~
#[test]
fn a_file_capability_travels_and_other_xattrs_stay() {
    let id = "a326158649ca233bee96fb4e02eed47938c5439147b4f726414bd9ac2ad8f042";
    assert_recorded("a capability", id, |tree| {
        let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        tree.dir("t").dir("t/dir").xattr("t/dir", "user.d", b"1").file("t/newx", "x", 0o644);
        tree.file("t/one", "one\n", 0o644).xattr("t/one", "user.foo", b"bar");
        tree.file("t/two", "two\n", 0o640).xattr("t/two", "security.capability", &capability);
        tree.times(1_795_224_844).time("t", 1_795_224_949, 0).time("t/newx", 1_795_224_949, 0);
        tree.time("t/dir", 1_795_224_845, 0);
    });
}

#[test]
fn a_large_owner_goes_into_a_pax_record() {
    let id = "f6f239b4d7e5d02308d4697077adda9ce4973cbdef0b18c529dbe638a1e231d6";
    assert_recorded("a large owner", id, |tree| {
        tree.dir("t").file("t/bu", "x\n", 0o644).owner("t/bu", 3_000_000, 3_000_000).times(1_795_224_942);
    });
}

/// Checklist: SY-07~
#[test]
fn odd_and_foreign_names_are_written_as_docker_writes_them() {
    let id = "1c7000914cfd4128acebaa86d94a9f1164eb21ff3f074ed00d23744ff3f5a439";
    assert_recorded("odd names", id, |tree| {
        tree.dir("t").file("t/real\nnl", "x", 0o644);
        for name in ["-dash", ".hidden", "back\\slash", "new\nline", "q\"uote", "with space", "ünï"] {
            tree.file(&format!("t/{name}"), "", 0o644);
        }
        tree.times(1_795_224_919);
    });
}

#[test]
fn long_paths_are_written_as_docker_writes_them() {
    let id = "cbd048868c54cafda194e61949853c93b9e372befd7098493b0462bdcdcae1b5";
    assert_recorded("long paths", id, |tree| {
        let name: String = (1..=60).map(|number| number.to_string()).collect();
        let mut path = "t".to_owned();
        tree.dir(&path);
        for _ in 0..3 {
            path = format!("{path}/{name}");
            tree.dir(&path);
        }
        tree.file(&format!("{path}/f"), "x\n", 0o644).times(1_795_224_921);
    });
}

/// Checklist: TR-01~, N-23~
#[test]
fn what_ustar_cannot_hold_is_split_or_goes_into_pax_records() {
    let id = "31a50a5ececa0b7a54805b7e3cfbb907bcf732833fa0f6f09895a797313e5da1";
    assert_recorded("the edges of ustar", id, |tree| {
        let (k, o) = ("k".repeat(30), "O".repeat(60));
        tree.dir(&k).dir(&format!("{k}/{k}")).dir(&format!("{k}/{k}/{k}")).dir(&format!("{k}/{k}/{k}/{k}"));
        tree.file(&format!("{k}/{k}/{k}/{k}/f"), "deep\n", 0o644).dir(&o).opaque_dir(&format!("{o}/{o}"));
        tree.symlink("sym", &"t".repeat(150)).node("ff", FileType::Fifo, (0, 0), 0o644).hard_link("ff2", "ff");
        tree.node("dev", FileType::CharacterDevice, (511, 1_048_575), 0o644);
        for name in ["early", "far", "owner", "cap"] {
            tree.file(name, &format!("{name}\n"), 0o644);
        }
        let with_newlines = [1, 0, 0, 2, 10, 4, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        tree.owner("owner", 4_294_967_294, 33).xattr("cap", "security.capability", &with_newlines);
        tree.times(1_000_000_000).time("early", -1, 0).time("far", 1 << 33, 0);
    });
}

/// Checklist: ID-02, TR-03~
#[test]
fn an_upper_without_entries_makes_the_empty_layer() {
    let upper = directory();
    let (made, tar) = packed(upper.path());
    assert_eq!((made.entries, made.size_bytes, tar.len()), (0, 0, 1024));
    let empty_layer = "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(made.diff_id.hex(), empty_layer);
}

/// Checklist: SP-04
#[test]
fn a_socket_is_left_out() {
    let upper = directory();
    let _socket = std::os::unix::net::UnixListener::bind(upper.path().join("socket")).unwrap();
    assert_eq!(packed(upper.path()).0.entries, 0);
}

#[test]
fn a_name_that_docker_would_read_as_a_whiteout_is_packed_as_it_is() -> Result<(), UnpackError> {
    let upper = directory();
    Tree(upper.path()).file(".wh.gone", "", 0o644).times(1_000_000_000);
    let copy = directory();
    unpacked(&packed(upper.path()).1, copy.path())?;
    assert!(crate::scene::is_whiteout(&copy.path().join("gone")));
    Ok(())
}
