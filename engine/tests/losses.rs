//! What a file system cannot keep of a layer is said, and counted.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::Write;
use std::process::{Command, Stdio};

use layerlab_properties::enter::own_mounts;
use layerlab_scenarios::skip::skip;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Two files with an extended attribute each.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["one", "two"] {
        tar.append_pax_extensions([("SCHILY.xattr.user.origin", &b"here"[..])]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &b"x"[..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// ramfs has no extended attributes.
///
/// Checklist: XA-08
#[test]
fn attributes_that_cannot_be_kept_are_counted_and_the_layer_is_there() {
    let place = tempfile::tempdir().unwrap();
    let mounted = own_mounts()
        .and_then(|()| Ok(mount(Some("none"), place.path(), Some("ramfs"), MsFlags::empty(), Some("mode=755"))?));
    if let Err(why) = mounted {
        return skip("root", &format!("ramfs cannot be mounted: {why:#}"));
    }
    let run = |arguments: &[&str], input: &[u8]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_layerlab"));
        command.arg("--data-root").arg(place.path().join("data")).arg("--exec-root").arg(place.path().join("exec"));
        command.args(["--storage-driver", "vfs"]).args(arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    };
    let said = String::from_utf8(run(&["import", "-", "image"], &archive()).stderr).unwrap();
    assert!(said.contains("extended attributes were refused and are lost") && said.contains("xattrs_lost=2"), "{said}");
    // What came is given back: the record of the tar has the attributes.
    let saved = run(&["save", "image"], b"").stdout;
    assert!(saved.windows(12).any(|bytes| bytes == b"user.origin="), "the archive has lost them too");
    umount2(place.path(), MntFlags::MNT_DETACH).unwrap();
}
