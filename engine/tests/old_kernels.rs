//! What kernels before Linux 6.7 take of an overlay, in one page of options, gives the tree that newer ones give.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use layerlab_engine::sys::overlay::Overlay;
use layerlab_properties::enter::own_mounts;
use layerlab_scenarios::skip::skip;

/// Whatever has a meaning among the options of a mount.
const ODD: [&str; 6] = ["plain", "a:b", "a,b", "a\\b", "userxattr", "a b=c"];

/// The names in the directory `path`, sorted.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// So many layers with a file each in `place`, and an upper one.
fn layers(place: &Path, number: usize) -> Overlay {
    let lower = |at: usize| {
        let path = place.join(format!("{}-{at}", ODD[at % ODD.len()]));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(format!("file-{at:04}")), "").unwrap();
        fs::write(path.join("which"), at.to_string()).unwrap();
        path
    };
    let lower: Vec<PathBuf> = (0..number).map(lower).collect();
    let upper = ["up,per", "wo,rk"].map(|name| place.join(name));
    upper.iter().for_each(|path| fs::create_dir(path).unwrap());
    let [upper, work] = upper;
    Overlay { lower, upper: Some((upper, work)) }
}

#[test]
fn layers_of_odd_names_stack_in_their_order_and_show_nowhere_else() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "only root mounts an overlay here");
    }
    own_mounts().unwrap();
    let place = tempfile::tempdir().unwrap();
    let overlay = layers(place.path(), 100);
    let before = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    let mounted = overlay.detached_by_string().unwrap();
    assert_eq!(fs::read_to_string("/proc/thread-self/mounts").unwrap(), before);
    assert_eq!(names(&mounted.path()).len(), 101, "{:?}", names(&mounted.path()));
    assert_eq!(fs::read_to_string(mounted.path().join("which")).unwrap(), "0", "the first is the nearest");
    fs::write(mounted.path().join("new"), "").unwrap();
    assert_eq!(names(&place.path().join("up,per")), ["new"]);

    // It can be given a place, like any other.
    let target = place.path().join("target");
    fs::create_dir(&target).unwrap();
    mounted.attach(&target).unwrap();
    assert!(target.join("new").exists());
    layerlab_engine::sys::mount::unmount(&target).unwrap();
}

#[test]
fn layers_that_share_nothing_but_the_root_are_an_overlay_too() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "only root mounts an overlay here");
    }
    own_mounts().unwrap();
    let [one, other] = ["/", "/tmp"].map(|place| tempfile::tempdir_in(place).unwrap());
    fs::write(one.path().join("file"), "").unwrap();
    let upper = ["upper", "work"].map(|name| other.path().join(name));
    upper.iter().for_each(|path| fs::create_dir(path).unwrap());
    let [upper, work] = upper;
    let overlay = Overlay { lower: vec![one.path().to_owned()], upper: Some((upper, work)) };
    assert_eq!(names(&overlay.detached_by_string().unwrap().path()), ["file"]);
}

#[test]
fn layers_that_do_not_fit_a_page_are_refused_with_the_reason() {
    if !rustix::process::geteuid().is_root() {
        return skip("root", "only root mounts an overlay here");
    }
    let place = tempfile::tempdir().unwrap();
    let Err(error) = layers(place.path(), 480).detached_by_string() else { panic!("they fit") };
    assert!(error.to_string().contains("of 4095 that this kernel takes (Linux 6.7 takes any number)"), "{error}");
}
