//! What need not be as it is in a layer's tar, and what cannot be compared: the one is as little as can be, the other is told.
//!
//! Checklist: CR-05

use layerlab_engine::sys::namespace;
use layerlab_scenarios::skip::skip;

use super::damage::remove;
use super::house::{Ground, House, archive, file, header, link, text};

/// A device 0:0 is overlayfs's whiteout: the legacy driver's trees are made without it, all others have it.
#[test]
fn a_device_without_numbers_is_missed_wherever_the_driver_keeps_it() {
    if !rustix::process::geteuid().is_root() || namespace::is_user_namespace() {
        return skip("root", "only root makes devices");
    }
    for (driver, is_kept) in [("overlay2", true), ("vfs", true), ("overlay", false)] {
        let house = House::empty(&Ground::of(driver).unwrap());
        let tar = archive(|tar| {
            let mut device = header(tar::EntryType::Char, 0, 0o644);
            device.set_device_major(0).unwrap();
            device.set_device_minor(0).unwrap();
            tar.append_data(&mut device, "none", &b""[..]).unwrap();
            file(tar, "file", b"x", 0o644);
        });
        house.fed(&["import", "-", "devices"], &tar);
        assert_eq!(house.findings(&[]), Vec::<serde_json::Value>::new(), "{driver}");
        let device = house.files(&house.directories()[0]).join("none");
        assert_eq!(device.symlink_metadata().is_ok(), is_kept, "{driver}");
        if is_kept {
            remove(&device);
            let findings = house.findings(&[]);
            assert_eq!(
                (findings.len(), findings[0]["Fault"].as_str()),
                (1, Some("content")),
                "{driver}: {findings:#?}"
            );
        }
    }
}

#[test]
fn a_layer_whose_files_cannot_be_compared_one_by_one_is_told() {
    let house = House::empty(&Ground::of("vfs").unwrap());
    let tar = archive(|tar| {
        tar.append_data(&mut header(tar::EntryType::Directory, 0, 0o755), "usr/", &b""[..]).unwrap();
        link(tar, "bin", "usr", tar::EntryType::Symlink);
        file(tar, "bin/tool", b"x", 0o755);
    });
    house.fed(&["import", "-", "linked"], &tar);
    let said = house.run(&["check"], b"");
    let told = text(&said);
    assert!(told.starts_with("not compared: the layer ") && told.contains("leads through a link"), "{told}");
    assert!(told.contains("1 layer, 0 containers: no fault found") && said.status.success(), "{told}");
    let said = house.run(&["check", "--format", "json"], b"");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "");
    assert!(String::from_utf8_lossy(&said.stderr).starts_with("not compared: "));
}
