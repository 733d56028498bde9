//! A repair mends what can be mended and touches nothing else; when it is done, a check finds nothing that it could have mended.
//!
//! Checklist: CR-04, CR-05, N-03

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use layerlab_engine::image::Digest;
use layerlab_engine::sys::mount;
use layerlab_properties::enter::own_mounts;
use layerlab_scenarios::skip::skip;
use serde_json::Value;

use super::damage::{alter, layer, remove, split};
use super::faults::{self, Fault, Repair, found_wrongly};
use super::healthy::listing;
use super::house::{Ground, House, name, text};

/// A store that is as good as before, with what the image and the container hold.
struct Sound {
    house: House,
    contents: [Option<Digest>; 2],
}

impl Sound {
    fn new(ground: &Ground) -> Sound {
        let house = House::pulled(ground);
        let contents = house.contents_or_nothing();
        Sound { house, contents }
    }

    /// Plants a fault, and has it found and mended. The store is given back when nothing of it is lost.
    fn after(self, fault: &Fault, wrong: &mut Vec<String>) -> Option<Sound> {
        let Sound { house, contents: before } = self;
        let mut wrongs = Vec::new();
        let directories: Vec<(String, PathBuf)> =
            house.records().iter().map(|record| name(record)).zip(house.directories()).collect();
        (fault.plant)(&house);
        wrongs.extend(found_wrongly(&house, fault));
        let before_repair = untold(&house, &house.findings(&[]), &directories);
        let told = text(&house.run(&["check", "--repair"], b""));
        let after_repair: Files = before_repair.keys().flat_map(|directory| files(directory)).collect();
        let left = house.findings(&[]);
        let after = house.contents_or_nothing();
        let mut report = |why: &str| wrongs.push(format!("{why}: {told}\n{left:#?}"));
        if left.iter().any(|finding| finding["Mendable"] == true) {
            report("something that can be mended is left");
        }
        let before_repair: Files = before_repair.into_values().flatten().collect();
        let touched = differences(&before_repair, &after_repair);
        if !touched.is_empty() {
            report(&format!("what nobody told of was touched: {touched:#?}"));
        }
        match (fault.repair, left.is_empty()) {
            (Repair::Mends | Repair::Pulls, false) => report("something is left"),
            (Repair::Advises, true) => report("nothing is left"),
            _ => {}
        }
        // Names that were lost are nobody's to give back, nor is a layer without an image.
        let is_lost = fault.finds.iter().any(|found| ["names", "unused-layer"].contains(found));
        if fault.repair != Repair::Advises && !is_lost && before != after {
            report("the image or the container is another than before");
        }
        let sound = listing(&house.data());
        let again = text(&house.run(&["check", "--repair"], b""));
        if again.contains("mended: ") || listing(&house.data()) != sound {
            report(&format!("a second repair did something: {again}"));
        }
        let is_sound = wrongs.is_empty() && fault.repair != Repair::Advises && before == after;
        wrong.extend(wrongs.into_iter().map(|why| format!("{}: {}: {why}", house.driver, fault.name)));
        is_sound.then_some(Sound { house, contents: after })
    }
}

/// Files with what says that one is the same as before; a link more or less of it is no other file.
type Files = BTreeMap<PathBuf, (u64, u32, u64, i64, i64)>;

const NOTES: [&str; 2] = ["lower", "committed"];

fn files(directory: &Path) -> Files {
    let told = |(path, mode, size, seconds, _): (PathBuf, u32, u64, i64, i64)| {
        let found = fs::symlink_metadata(&path).unwrap();
        (path, (found.ino(), mode, size, seconds, found.mtime_nsec()))
    };
    // What a layer notes of its neighbours follows them: what it lies on, and that something lies on it.
    let is_note = |path: &Path| NOTES.iter().any(|note| path == directory.join(note));
    listing(directory).into_iter().filter(|(path, ..)| !is_note(path)).map(told).collect()
}

/// The driver's directories, each with its files, that no finding is about: neither by its path, nor by a layer, of which `directories` knows
/// where it lay.
fn untold(house: &House, findings: &[Value], directories: &[(String, PathBuf)]) -> BTreeMap<PathBuf, Files> {
    let layers: BTreeSet<&str> =
        findings.iter().filter_map(|finding| finding["Layer"].as_str()?.strip_prefix("sha256:")).collect();
    // With the legacy driver a file that was altered in one layer is the file of those above, too.
    let lowest = directories.iter().position(|(layer, _)| layers.contains(layer.as_str()));
    let is_shared = house.driver == "overlay" && findings.iter().any(|finding| finding["Fault"] == "content");
    let is_told = |directory: &PathBuf| {
        let its_layer = directories.iter().position(|(_, known)| known == directory);
        its_layer.is_some_and(|its| layers.contains(directories[its].0.as_str()) || (is_shared && Some(its) > lowest))
            || findings.iter().any(|finding| Path::new(finding["Where"].as_str().unwrap()).starts_with(directory))
    };
    let all = fs::read_dir(house.home()).into_iter().flatten().map(|entry| entry.unwrap().path());
    all.filter(|path| !is_told(path) && !path.ends_with("l")).map(|path| (path.clone(), files(&path))).collect()
}

/// The paths at which these differ.
fn differences<'a>(one: &'a Files, other: &'a Files) -> BTreeSet<&'a Path> {
    let all = one.keys().chain(other.keys()).map(PathBuf::as_path);
    all.filter(|path| one.get(*path) != other.get(*path)).collect()
}

fn every_fault_is_found_and_mended(driver: &'static str) {
    let Some(ground) = Ground::of(driver) else { return };
    let (mut wrong, mut kept) = (Vec::new(), None);
    for fault in faults::all().filter(|fault| fault.drivers.contains(&driver)) {
        kept = kept.unwrap_or_else(|| Sound::new(&ground)).after(fault, &mut wrong);
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_planted_fault_and_nothing_else_is_found_and_mended_with_overlay2() {
    every_fault_is_found_and_mended("overlay2");
}

#[test]
fn each_planted_fault_and_nothing_else_is_found_and_mended_with_overlay() {
    every_fault_is_found_and_mended("overlay");
}

#[test]
fn each_planted_fault_and_nothing_else_is_found_and_mended_with_vfs() {
    every_fault_is_found_and_mended("vfs");
}

#[test]
fn each_planted_fault_and_nothing_else_is_found_and_mended_with_btrfs() {
    every_fault_is_found_and_mended("btrfs");
}

#[test]
fn each_planted_fault_and_nothing_else_is_found_and_mended_with_fuse_overlayfs() {
    every_fault_is_found_and_mended("fuse-overlayfs");
}

#[test]
fn what_is_still_mounted_is_found_and_unmounted() {
    if let Err(error) = own_mounts() {
        return skip("root", &format!("a mount that is left over: {error:#}"));
    }
    for driver in ["overlay2", "vfs"] {
        let house = House::new(&Ground::of(driver).unwrap());
        let own = house.container_directories().0;
        let point = if driver == "vfs" { own } else { own.join("merged") };
        fs::create_dir_all(&point).unwrap();
        mount::bind(&house.data().join("tmp"), &point).unwrap();
        let found = house.findings(&[]);
        let kinds: Vec<&str> = found.iter().map(|finding| finding["Fault"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["leftover-mount"], "{found:#?}");
        house.done(&["check", "--repair"]);
        assert!(!mount::is_mount_point(&point).unwrap());
    }
}

/// dockerd keeps its books in memory: it would write them over what a repair mends, and what it is making looks like what is left over.
#[test]
fn where_a_dockerd_works_nothing_is_repaired_or_told_to_be_left_over_and_no_other_command_works() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    fs::create_dir(house.home().join("f".repeat(64))).unwrap();
    assert_eq!(house.findings(&[]).len(), 1);
    let database = fs::File::create(house.data().join("volumes/metadata.db")).unwrap();
    database.lock().unwrap();
    assert!(house.done(&["check"]).starts_with("a dockerd works here"));
    let refused = house.run(&["check", "--repair"], b"");
    assert!(text(&refused).contains("stop it first") && refused.status.code() == Some(1), "{}", text(&refused));
    let refused = house.run(&["images"], b"");
    assert!(text(&refused).contains("a dockerd works on ") && refused.status.code() == Some(1), "{}", text(&refused));
    drop(database);
    house.done(&["check", "--repair"]);
}

#[test]
fn names_come_back_from_containers_and_from_what_is_left_of_their_list() {
    let house = House::new(&Ground::of("overlay2").unwrap());
    let list = house.image().join("repositories.json");
    let names = || house.done(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    let sound = fs::read_to_string(&list).unwrap();
    let all = names();
    // A write that broke off: what is whole is believed.
    fs::write(&list, &sound[..sound.len() - 2]).unwrap();
    house.done(&["check", "--repair"]);
    assert_eq!(names(), all);
    // Nothing is left: a container was made of `top`, and nobody knows what the other was called.
    fs::remove_file(&list).unwrap();
    let told = house.done(&["check", "--repair"]);
    assert!(told.contains("that are still told (top:latest); no name is known of "), "{told}");
    // What `top` was built on is listed no more.
    assert_eq!(names(), "top:latest");
    assert_eq!(house.findings(&[]).len(), 0);
}

#[test]
fn a_repair_of_one_layer_leaves_every_file_of_the_others_as_it_is() {
    let house = House::pulled(&Ground::of("overlay2").unwrap());
    let files = |index: usize| -> Vec<_> {
        let files = house.files(&house.directories()[index]);
        listing(&files).into_iter().map(|found| (fs::symlink_metadata(&found.0).unwrap().ino(), found)).collect()
    };
    let before = (files(0), files(2));
    alter(&layer(&house, 1).join("usr/share/doc/README"), 1);
    // Nobody has worked here since somebody tidied up.
    remove(&house.data().join("tmp"));
    house.done(&["check", "--repair"]);
    assert_eq!((files(0), files(2)), before);
    assert_eq!(fs::read_to_string(layer(&house, 1).join("usr/share/doc/README")).unwrap(), "read me\n");
}

#[test]
fn a_layer_that_nobody_has_any_more_is_left_as_it_is_and_that_is_told() {
    let mut house = House::pulled(&Ground::of("vfs").unwrap());
    house.end_registry();
    remove(&split(&house, 1));
    let before = listing(&house.data().join("image"));
    let output = house.run(&["check", "--repair"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("not mended: tar-split.json.gz of the layer"), "{}", text(&output));
    assert_eq!(listing(&house.data().join("image")), before);
}
