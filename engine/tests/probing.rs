//! The storage driver is one that works where the data root is: that is tried, not guessed.
//!
//! Checklist: DL-27~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use layerlab_engine::driver;
use layerlab_properties::enter::own_mounts;
use layerlab_properties::overlayfs::{self, Layers};
use layerlab_scenarios::skip::skip;

#[test]
fn on_an_overlay_another_driver_is_chosen_and_overlay2_is_refused_with_the_reason() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "only root puts a data root on an overlay here");
    }
    own_mounts().unwrap();
    let place = tempfile::tempdir().unwrap();
    let [lower, upper, work] = ["lower", "upper", "work"].map(|name| place.path().join(name));
    for directory in [&lower, &upper, &work] {
        fs::create_dir(directory).unwrap();
    }
    let layers = Layers { lowers: vec![lower], data: Vec::new(), upper: Some((upper.clone(), work)) };
    let mounted = overlayfs::mount([], &layers).unwrap();
    let root = PathBuf::from(format!("/proc/self/fd/{}/root", mounted.as_raw_fd()));
    fs::create_dir(&root).unwrap();

    let Err(error) = driver::open(Some("overlay2"), &root) else { panic!("overlay2 was opened on an overlay") };
    assert!(error.to_string().contains("overlay2: the kernel cannot stack layers on overlayfs"), "{error}");
    assert!(error.to_string().contains("choose one with --storage-driver"), "{error}");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "a trial left something");

    let chosen = driver::open(None, &root).unwrap();
    assert!(["fuse-overlayfs", "vfs"].contains(&chosen.name()), "{}", chosen.name());
    chosen.create("a", None).unwrap();
    assert_eq!(chosen.all().unwrap(), ["a"]);
}

#[test]
fn elsewhere_it_is_overlay2_and_a_data_root_need_not_be_there_yet() {
    let place = tempfile::tempdir_in(if fs::exists("/dev/shm").unwrap() { "/dev/shm" } else { "/tmp" }).unwrap();
    let root = place.path().join("not/yet");
    let chosen = driver::survey(&root);
    let (name, availability) = &chosen[0];
    assert_eq!((*name, availability), ("overlay2", &driver::Availability::Supported(String::new())));
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "a trial left something");
}
