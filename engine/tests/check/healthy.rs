//! A store in which nothing is wrong, whatever was done with it.

use std::path::Path;

use super::house::{Ground, House, text};

#[test]
fn a_sound_store_has_no_fault_and_a_check_leaves_it_as_it_was() {
    for driver in ["overlay2", "overlay", "vfs", "btrfs", "fuse-overlayfs"] {
        let Some(ground) = Ground::of(driver) else { continue };
        let house = House::new(&ground);
        let before = listing(&house.data());
        assert_eq!(house.findings(&[]), Vec::<serde_json::Value>::new(), "{driver}");
        assert_eq!(house.findings(&["top", "base"]), Vec::<serde_json::Value>::new(), "{driver}");
        let said = house.done(&["check"]);
        let wanted = format!("{} ({driver}): ", house.data().display());
        assert!(said.starts_with(&wanted) && said.ends_with("3 layers, 1 container: no fault found"), "{said}");
        assert_eq!(listing(&house.data()), before, "{driver}");
    }
}

#[test]
fn what_cannot_be_checked_is_refused_by_its_name_and_nothing_is_made() {
    let house = House::empty(&Ground::of("overlay2").unwrap());
    let refused = house.run(&["check"], b"");
    assert!(text(&refused).contains("is no data root") && refused.status.code() == Some(1), "{}", text(&refused));
    assert!(!house.data().exists());
    let house = House::new(&Ground::of("vfs").unwrap());
    let refused = house.run(&["check", "nosuch"], b"");
    assert_eq!((text(&refused).trim(), refused.status.code()), ("Error: No such image: nosuch", Some(1)));
}

/// Each is recognised by its directories, and refused with the reason.
#[test]
fn layers_of_drivers_that_are_not_here_are_known_by_name_and_refused_with_the_reason() {
    for (driver, reason) in [
        ("aufs", "AUFS"),
        ("devicemapper", "/dev/mapper/control"),
        ("zfs", "the data root on zfs"),
        ("windowsfilter", "Windows"),
    ] {
        let house = House::empty(&Ground::of("overlay2").unwrap());
        std::fs::create_dir_all(house.data().join("image").join(driver).join("layerdb/sha256/x")).unwrap();
        let refused = house.run_with_any_driver(&["check"]);
        let wanted = format!("the layers of the storage driver {driver} cannot be checked: ");
        assert!(text(&refused).contains(&wanted) && text(&refused).contains(reason), "{}", text(&refused));
        assert_eq!(refused.status.code(), Some(1));
    }
}

/// All names below a directory with what a check could change of them.
pub fn listing(directory: &Path) -> Vec<(std::path::PathBuf, u32, u64, i64, i64)> {
    use std::os::unix::fs::MetadataExt;
    let (mut found, mut pending) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(directory) = pending.pop() {
        // The scratch directories of overlayfs are closed to ordinary users.
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                pending.push(entry.path());
            }
            found.push((entry.path(), meta.mode(), meta.len(), meta.mtime(), meta.ctime_nsec()));
        }
    }
    found.sort();
    found
}
