//! The promise about files whose xattrs are called as an overlay's own: they are a file's, and mean nothing to whatever stacks layers.
//!
//! Checklist: XA-12

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use layerlab_engine::driver::Deviation;
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};

use super::changes::Ability;
use super::mounts::kernel;
use super::scene::{Scene, tree};

/// What an overlay would read of a directory and of a file: that it hides what lies below, or shows something else.
const OF_A_DIRECTORY: [(&str, &str); 3] = [("opaque", "y"), ("redirect", "/etc"), ("whiteouts", "y")];
const OF_A_FILE: [(&str, &str); 2] = [("metacopy", ""), ("redirect", "/etc/group")];

/// An image's directories and files have xattrs by which an overlay would hide and rename: nothing is hidden or renamed, all are seen where
/// the driver can keep them, and they are part of the tree that is compared. What a container gives is kept alike.
pub fn xattrs_that_are_called_as_an_overlays_mean_nothing(scene: &Scene) {
    scene.base();
    let able = Ability::with(&*scene.driver);
    let namespaces: &[&str] = if able.makes_devices { &["user", "trusted"] } else { &["user"] };
    scene.apply("marked", Some("base"), &tar(namespaces));
    let mut expected = scene.tree("base");
    expected.insert("lib/so".into(), "100644 0:0 file: other".to_owned());
    assert_eq!(scene.tree("marked"), expected, "something is hidden or renamed");
    scene.container("c", "marked");
    // An overlay shows them since Linux 6.7 (`ovl_is_escaped_xattr` of `fs/overlayfs/xattrs.c`).
    let is_shown = scene.driver.deviates(Deviation::MountsNothing) || kernel() >= (6, 7);
    let keeps = is_shown && !scene.driver.deviates(Deviation::NoOverlayXattrs);
    let wanted = |attributes: &[(&str, &str)]| -> BTreeMap<String, String> {
        let names = namespaces.iter().flat_map(|namespace| {
            attributes.iter().map(move |(name, value)| (format!("{namespace}.overlay.{name}"), (*value).to_owned()))
        });
        names.filter(|_| keeps).collect()
    };
    for _ in 0..2 {
        let place = scene.driver.attach("c").unwrap();
        assert_eq!(tree(&place), expected);
        assert_eq!(xattrs(&place.join("home")), wanted(&OF_A_DIRECTORY));
        assert_eq!(xattrs(&place.join("lib/so")), wanted(&OF_A_FILE));
        scene.driver.detach("c").unwrap();
        assert_eq!(scene.changes("c", "c-init"), [""; 0]);
    }
    if !keeps {
        return;
    }
    scene.edit("c", |root| {
        for namespace in namespaces {
            for (name, value) in OF_A_DIRECTORY {
                let name = format!("{namespace}.overlay.{name}");
                lsetxattr(root.join("etc"), &*name, value.as_bytes(), XattrFlags::empty()).unwrap();
            }
        }
        fs::set_permissions(root.join("home"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    });
    let view = scene.driver.view("c").unwrap();
    assert!(view.path().join("etc/group").exists() && view.path().join("home/a/note").exists());
    for directory in ["etc", "home"] {
        assert_eq!(xattrs(&view.path().join(directory)), wanted(&OF_A_DIRECTORY), "of {directory}");
    }
    assert_eq!(scene.changes("c", "c-init"), ["C /etc", "C /home"]);
    // On another layer, as of a base without one: there nothing is mounted.
    scene.apply("alone", None, &tar(namespaces));
    scene.container("d", "alone");
    assert_eq!(scene.changes("d", "alone"), [""; 0]);
    assert_eq!(scene.driver.pack("d", Some("d-init"), &mut Vec::new()).unwrap().entries, 0);
}

/// A layer with both.
fn tar(namespaces: &[&str]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, mode, text, attributes) in [
        ("home/", tar::EntryType::Directory, 0o755, "", &OF_A_DIRECTORY[..]),
        ("lib/so", tar::EntryType::Regular, 0o644, "other", &OF_A_FILE[..]),
    ] {
        let records = namespaces.iter().flat_map(|namespace| {
            attributes.iter().map(move |(name, value)| (format!("SCHILY.xattr.{namespace}.overlay.{name}"), *value))
        });
        let records: Vec<(String, &str)> = records.collect();
        builder.append_pax_extensions(records.iter().map(|(key, value)| (&**key, value.as_bytes()))).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(text.len() as u64);
        header.set_mode(mode);
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Those of a file that are called as an overlay's.
fn xattrs(path: &Path) -> BTreeMap<String, String> {
    let mut names = [0; 4096];
    let length = llistxattr(path, &mut names[..]).unwrap();
    let names = String::from_utf8_lossy(&names[..length]).into_owned();
    let value = |name: &str| {
        let mut value = [0; 4096];
        let length = lgetxattr(path, name, &mut value[..]).unwrap();
        String::from_utf8_lossy(&value[..length]).into_owned()
    };
    let overlays = names.split('\0').filter(|name| name.contains(".overlay."));
    overlays.map(|name| (name.to_owned(), value(name))).collect()
}
