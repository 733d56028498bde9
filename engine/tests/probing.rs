//! The storage driver is one that works where the data root is: that is tried, not guessed.
//!
//! Checklist: DL-27~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use layerlab_engine::driver;
use layerlab_engine::sys::{capability, mount};
use layerlab_properties::enter::own_mounts;
use layerlab_properties::overlayfs::{self, Layers};
use layerlab_scenarios::skip::skip;
use rustix::mount::MountFlags;
use rustix::thread::CapabilitySet;

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
    assert_eq!(all_below(&root), Vec::<PathBuf>::new(), "a trial left something");

    let chosen = driver::open(None, &root).unwrap();
    let next = if driver::refusal("fuse-overlayfs", &root).is_none() { "fuse-overlayfs" } else { "vfs" };
    assert_eq!(chosen.name(), next);
    chosen.create("a", None).unwrap();
    assert_eq!(chosen.all().unwrap(), ["a"]);
}

#[test]
fn elsewhere_it_is_overlay2_and_a_data_root_need_not_be_there_yet() {
    let Some(place) = place() else { return };
    let root = place.path().join("not/yet");
    let chosen = driver::survey(&root);
    let (name, availability) = &chosen[0];
    assert_eq!((*name, availability), ("overlay2", &driver::Availability::Supported(String::new())));
    assert_eq!(all_below(place.path()), Vec::<PathBuf>::new(), "a trial left something");
}

#[test]
fn what_a_killed_trial_has_left_goes_with_the_next() {
    let Some(place) = place() else { return };
    // Before anything is laid out, and after.
    for scratch in [place.path().to_owned(), place.path().join("tmp")] {
        fs::create_dir_all(scratch.join("layerlab-trial-dead/lower/directory")).unwrap();
        fs::create_dir(scratch.join("other")).unwrap();
        assert_eq!(driver::refusal("overlay2", place.path()), None);
        assert_eq!(all_below(&scratch), [scratch.join("other")]);
    }
}

/// A full disk must not make an engine choose another driver for good: what tells of it is the driver's own error.
#[test]
fn a_disk_that_is_full_or_read_only_says_nothing_about_the_kernel() {
    if let Err(error) = own_mounts() {
        return skip("root", &format!("a disk of its own: {error:#}"));
    }
    for (options, flags) in [("nr_inodes=2", MountFlags::empty()), ("nr_inodes=0", MountFlags::RDONLY)] {
        let place = tempfile::tempdir().unwrap();
        mount::mount("tmpfs", place.path(), "tmpfs", flags, options).unwrap();
        assert_eq!(driver::refusal("overlay2", place.path()), None, "{options}");
        let Err(error) = driver::open(Some("overlay2"), place.path()) else { panic!("opened with {options}") };
        let error = error.to_string();
        assert!(error.contains("no space left on device") || error.contains("read-only file system"), "{error}");
        mount::unmount(place.path()).unwrap();
    }
}

#[test]
fn root_that_may_not_mount_is_told_so() {
    if !rustix::process::geteuid().is_root() || !capability::may_mount() {
        return skip("root", "only root gives the capability to mount up");
    }
    let Some(place) = place() else { return };
    let root = place.path().to_owned();
    // Capabilities are a thread's.
    let refusal = std::thread::spawn(move || {
        capability::set_to(CapabilitySet::all() - CapabilitySet::SYS_ADMIN).unwrap();
        driver::refusal("overlay2", &root)
    });
    let refusal = refusal.join().unwrap().expect("it counts as supported");
    assert!(refusal.contains("CAP_SYS_ADMIN"), "{refusal}");
}

/// A directory on which layers can be stacked: `/tmp` may be an overlay itself.
fn place() -> Option<tempfile::TempDir> {
    const OVERLAYFS: i64 = 0x794c_7630;
    let all = ["/dev/shm", "/tmp"].map(Path::new);
    let fitting = all.into_iter().find(|path| rustix::fs::statfs(*path).is_ok_and(|found| found.f_type != OVERLAYFS));
    if fitting.is_none() {
        skip("overlay", "/dev/shm and /tmp are overlays, on which none can be stacked");
    }
    fitting.map(|path| tempfile::tempdir_in(path).unwrap())
}

/// The paths of all below a directory.
fn all_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let below = if path.is_dir() { all_below(&path) } else { Vec::new() };
        found.push(path);
        found.extend(below);
    }
    found
}
