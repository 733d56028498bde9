//! `docker diff` looks only at names that an upper directory tells of: what it finds is what a look at every name finds, on each driver that has such
//! a directory.
//!
//! Changes are drawn: acts on few names, in the `-init` layer, in the container, and after it was mounted again; directories that take the place of
//! others, names of one file, what is written back as it was. Of each the list, and what is packed besides for names of one file, is
//! compared with that of everything, and with a comparison that knows no upper directory at all. What only another engine leaves there (`redirect`,
//! `metacopy`, the marks of either xattr namespace) is put there by hand.
//!
//! *Proved by*: `the_draws_reach`, which counts what came up, and fails where nothing did.
//!
//! Checklist: DF-01, OP-05

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use layerlab_engine::driver::{self, fuse_overlayfs, overlay, overlay2};
use layerlab_engine::layer::{
    Change, ChangeKind, Kinship, OverlayXattr, changes, changes_and_links, changes_and_links_of_all, changes_of_all,
};
use layerlab_engine::sys::mount;
use layerlab_properties::backing::Backing;
use layerlab_properties::contract::Scene;
use layerlab_properties::enter::in_namespaces;
use layerlab_scenarios::skip::skip;
use libtest_mimic::{Arguments, Trial};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lremovexattr, lsetxattr, mknodat, utimensat,
};
use rustix::mount::MountFlags;

/// How many changes are drawn for a driver.
const CASES: u32 = 500;

/// When everything in the image was made.
const MADE: i64 = 1_000_000_000;

/// Few names, so that much happens to the same; the image has no `n`.
const PATHS: [&str; 17] = [
    "a", "a/f", "a/n", "a/d", "a/d/f", "a/d/e", "a/d/e/f", "b", "b/d", "b/d/f", "b/d/n", "b/e", "f", "n", "l", "a/l",
    "b/l",
];

#[derive(Debug, Clone)]
enum Act {
    Write(&'static str, &'static str),
    /// The same content anew, or another of that length, with the old time.
    WriteUnseen(&'static str, &'static str),
    Directory(&'static str),
    /// A directory is another now, with this in it, if anything.
    Anew(&'static str, Option<&'static str>),
    Link(&'static str, &'static str),
    Symlink(&'static str),
    Pipe(&'static str),
    Rename(&'static str, &'static str),
    Remove(&'static str),
    Permit(&'static str, u32),
    Xattr(&'static str, &'static str),
    /// It is copied up, and is as it was.
    Touch(&'static str),
    PermitRoot(u32),
}

fn act() -> impl Strategy<Value = Act> {
    let path = || select(&PATHS[..]);
    let name = || select(&["f", "g", "d", "e"][..]);
    prop_oneof![
        3 => (path(), select(&["one", "two", "three"][..])).prop_map(|(path, text)| Act::Write(path, text)),
        2 => (path(), select(&["one", "two"][..])).prop_map(|(path, text)| Act::WriteUnseen(path, text)),
        2 => path().prop_map(Act::Directory),
        3 => (path(), proptest::option::of(name())).prop_map(|(path, inside)| Act::Anew(path, inside)),
        2 => (path(), path()).prop_map(|(old, new)| Act::Link(old, new)),
        1 => path().prop_map(Act::Symlink),
        1 => path().prop_map(Act::Pipe),
        3 => (path(), path()).prop_map(|(old, new)| Act::Rename(old, new)),
        4 => path().prop_map(Act::Remove),
        2 => (path(), select(&[0o600, 0o644, 0o755][..])).prop_map(|(path, mode)| Act::Permit(path, mode)),
        1 => (path(), select(&["one", "two"][..])).prop_map(|(path, value)| Act::Xattr(path, value)),
        3 => path().prop_map(Act::Touch),
        1 => select(&[0o755, 0o711][..]).prop_map(Act::PermitRoot),
    ]
}

fn set_time(path: &Path, seconds: i64) -> io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_symlink() {
        true => Ok(()),
        false => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
    }
}

/// What cannot be done is not.
fn perform(act: &Act, root: &Path) -> io::Result<()> {
    let at = |path: &str| root.join(path);
    let is_file = |path: &str| fs::symlink_metadata(at(path)).is_ok_and(|meta| meta.is_file());
    match *act {
        Act::Write(path, text) if is_file(path) || !at(path).exists() => fs::write(at(path), text),
        Act::WriteUnseen(path, text) if is_file(path) => {
            fs::write(at(path), text)?;
            set_time(&at(path), MADE)
        }
        Act::Write(..) | Act::WriteUnseen(..) => Ok(()),
        Act::Directory(path) => fs::create_dir(at(path)),
        Act::Anew(path, inside) => {
            if fs::symlink_metadata(at(path))?.is_dir() {
                fs::remove_dir_all(at(path))?;
                fs::create_dir(at(path))?;
                if let Some(name) = inside {
                    let inside = at(path).join(name);
                    if name < "f" { fs::create_dir(inside)? } else { fs::write(inside, "one")? }
                }
            }
            Ok(())
        }
        Act::Link(old, new) => fs::hard_link(at(old), at(new)),
        Act::Symlink(path) => symlink("f", at(path)),
        Act::Pipe(path) => Ok(mknodat(CWD, at(path), FileType::Fifo, Mode::RUSR, 0)?),
        Act::Rename(old, new) => fs::rename(at(old), at(new)),
        Act::Remove(path) => match fs::symlink_metadata(at(path))?.is_dir() {
            true => fs::remove_dir_all(at(path)),
            false => fs::remove_file(at(path)),
        },
        Act::Permit(path, mode) => set_mode(&at(path), mode),
        Act::Xattr(path, value) => Ok(lsetxattr(at(path), "user.of", value.as_bytes(), XattrFlags::empty())?),
        Act::Touch(path) => {
            let meta = fs::symlink_metadata(at(path))?;
            lchown(at(path), Some(meta.uid()), Some(meta.gid()))?;
            set_mode(&at(path), meta.mode())
        }
        Act::PermitRoot(mode) => set_mode(root, mode),
    }
}

/// What is done in the `-init` layer, in the container, and in the container when it is mounted again.
type Case = [Vec<Act>; 3];

/// An image of two layers: the second hides and replaces some of the first.
fn image(scene: &Scene) {
    scene.layer_of("base", None, |root| {
        for directory in ["a/d/e", "b/d", "b/e"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for file in ["a/f", "a/g", "a/d/f", "a/d/e/f", "b/f", "f", "l"] {
            fs::write(root.join(file), "one").unwrap();
        }
        for name in ["a/l", "b/l"] {
            fs::hard_link(root.join("l"), root.join(name)).unwrap();
        }
        age(root);
    });
    scene.container("above", "base");
    scene.edit("above", |root| {
        fs::remove_file(root.join("a/g")).unwrap();
        fs::remove_dir_all(root.join("b/d")).unwrap();
        fs::create_dir(root.join("b/d")).unwrap();
        fs::write(root.join("b/d/f"), "two").unwrap();
        fs::write(root.join("a/d/g"), "two").unwrap();
        age(root);
    });
    let tar = scene.tar("above", Some("above-init"));
    scene.apply("image", Some("base"), &tar);
}

/// Gives all below `root` the time of the image.
fn age(root: &Path) {
    for entry in fs::read_dir(root).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            age(&entry.path());
        }
        set_time(&entry.path(), MADE).unwrap();
    }
}

/// The upper directory of a layer.
fn upper(scene: &Scene, id: &str) -> PathBuf {
    let graph = scene.driver.graph(id).unwrap();
    graph.data.into_iter().find(|(key, _)| key == "UpperDir").map(|(_, path)| path.into()).unwrap()
}

fn lines(changes: &[Change]) -> BTreeSet<String> {
    changes.iter().map(ToString::to_string).collect()
}

/// How often something came up.
type Counts = BTreeMap<&'static str, u32>;

fn judge(scene: &Scene, case: &Case, counts: &mut Counts) -> Result<(), String> {
    let [init, acts, again] = case;
    scene.driver.create("c-init", Some("image")).unwrap();
    scene.edit("c-init", |root| init.iter().for_each(|act| drop(perform(act, root))));
    scene.driver.create("c", Some("c-init")).unwrap();
    for acts in [acts, again] {
        scene.edit("c", |root| acts.iter().for_each(|act| drop(perform(act, root))));
    }
    let judged = compare(scene, counts);
    for id in ["c", "c-init"] {
        scene.driver.remove(id).unwrap();
    }
    judged
}

/// Compares what is told of the container `c` with what a look at everything tells.
fn compare(scene: &Scene, counts: &mut Counts) -> Result<(), String> {
    let marks = scene.driver.marks();
    let (upper, copied) = (upper(scene, "c"), upper(scene, "c-init"));
    let kinship = match scene.name {
        overlay::NAME => Kinship::CopiedUpper(&upper, &copied, marks),
        _ => Kinship::Upper(&upper, marks),
    };
    let told = scene.driver.changes("c", "c-init").unwrap();
    let (old, new) = (scene.driver.view("c-init").unwrap(), scene.driver.view("c").unwrap());
    let all = changes_of_all(old.path(), new.path(), kinship).unwrap();
    if told != all {
        return Err(format!("told {:#?}, of all {:#?}", lines(&told), lines(&all)));
    }
    let linked = changes_and_links(old.path(), new.path(), kinship).unwrap();
    let all_linked = changes_and_links_of_all(old.path(), new.path(), kinship).unwrap();
    if linked != all_linked {
        return Err(format!("with links {:#?}, of all {:#?}", lines(&linked), lines(&all_linked)));
    }
    // Who knows nothing of upper directories sees everything but directories that took the place of others.
    let plain = changes(old.path(), new.path(), Kinship::Unknown).unwrap();
    let (told_lines, plain_lines) = (lines(&told), lines(&plain));
    if let Some(missed) = plain_lines.difference(&told_lines).next() {
        return Err(format!("{missed} is not told of {told_lines:#?}"));
    }
    let is_directory = |change: &Change| new.path().join(change.path.strip_prefix("/").unwrap()).is_dir();
    let mut replaced = told.iter().filter(|change| !plain_lines.contains(&change.to_string()));
    if let Some(unasked) = replaced.clone().find(|change| change.kind != ChangeKind::Modified || !is_directory(change))
    {
        return Err(format!("{unasked} is told without need"));
    }
    let mut count = |what, is_there: bool| *counts.entry(what).or_default() += u32::from(is_there);
    let has = |kind| told.iter().any(|change| change.kind == kind);
    count("an addition", has(ChangeKind::Added));
    count("a deletion", has(ChangeKind::Deleted));
    count("a modification", has(ChangeKind::Modified));
    count("a directory in the place of an equal one", replaced.next().is_some());
    count("a name that only a layer tells", linked != told);
    count("an upper directory with more than is told", told.is_empty() && fs::read_dir(&upper).unwrap().count() > 0);
    Ok(())
}

/// What drawn changes have to come upon.
fn the_draws_reach(name: &str, counts: &Counts) {
    for (what, times) in counts {
        // The program gives what it copies up new times.
        let is_possible = name != fuse_overlayfs::NAME || !what.starts_with("an upper directory with more");
        assert!(!is_possible || *times > 0, "{what} was never drawn");
    }
}

fn a_look_at_candidates_finds_what_a_look_at_everything_finds(scene: &Scene) {
    image(scene);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let counts = RefCell::default();
    let acts = |most| proptest::collection::vec(act(), 0..most);
    let judged = runner.run(&[acts(4), acts(8), acts(4)], |case| {
        judge(scene, &case, &mut counts.borrow_mut()).map_err(TestCaseError::fail)
    });
    match judged {
        Ok(()) => the_draws_reach(scene.name, &counts.into_inner()),
        Err(TestError::Fail(why, case)) => panic!("{why}\nof {case:#?}"),
        Err(other) => panic!("{other}"),
    }
}

/// Where an upper directory began as a copy, nothing is left there of what only the copied one had.
fn what_only_the_layer_below_had_is_told_when_it_is_gone(scene: &Scene) {
    image(scene);
    scene.driver.create("c-init", Some("image")).unwrap();
    scene.edit("c-init", |root| {
        fs::create_dir_all(root.join("b/n/deep")).unwrap();
        fs::write(root.join("n"), "one").unwrap();
    });
    scene.driver.create("c", Some("c-init")).unwrap();
    scene.edit("c", |root| {
        fs::remove_dir_all(root.join("b/n")).unwrap();
        fs::remove_file(root.join("n")).unwrap();
    });
    assert_eq!(scene.changes("c", "c-init"), ["C /b", "D /b/n", "D /n"]);
    compare(scene, &mut Counts::new()).unwrap();
}

/// A mark of any overlay, this one's or another's, makes a directory one of which everything is looked at; and where deletions are files,
/// these hide names.
fn marks_of_every_overlay_are_heeded(scene: &Scene) {
    image(scene);
    if scene.driver.marks() == OverlayXattr::Program {
        for (mark, told) in
            [(".wh.f", &["C /a", "D /a/f"][..]), (".wh..wh..opq", &["C /a", "D /a/d", "D /a/f", "D /a/l"])]
        {
            scene.container("c", "image");
            fs::create_dir(upper(scene, "c").join("a")).unwrap();
            fs::write(upper(scene, "c").join("a").join(mark), "").unwrap();
            assert_eq!(scene.changes("c", "c-init"), told);
            compare(scene, &mut Counts::new()).unwrap_or_else(|why| panic!("{mark}: {why}"));
            for id in ["c", "c-init"] {
                scene.driver.remove(id).unwrap();
            }
        }
    }
    let is_root = matches!(scene.driver.marks(), OverlayXattr::Trusted | OverlayXattr::Program)
        && lsetxattr(scene.root.path(), "trusted.layerlab", b"", XattrFlags::empty()).is_ok();
    for namespace in ["trusted.overlay.", "user.overlay.", "user.fuseoverlayfs."] {
        for (mark, value) in [("opaque", "y"), ("redirect", "/b")] {
            if namespace.starts_with("trusted") && !is_root {
                continue;
            }
            // The kernel shows nothing of what has a redirect that it may not follow.
            if scene.driver.marks() == OverlayXattr::User && namespace == "user.overlay." && mark == "redirect" {
                continue;
            }
            scene.container("c", "image");
            scene.edit("c", |root| fs::write(root.join("a/new"), "one").unwrap());
            let mark = format!("{namespace}{mark}");
            lsetxattr(upper(scene, "c").join("a"), &*mark, value.as_bytes(), XattrFlags::empty()).unwrap();
            compare(scene, &mut Counts::new()).unwrap_or_else(|why| panic!("{mark}: {why}"));
            for id in ["c", "c-init"] {
                scene.driver.remove(id).unwrap();
            }
        }
    }
}

/// A dockerd on a kernel that renames directories of lower layers by a redirect, and copies up attributes alone, leaves names in an
/// upper directory below which there is more than lies there.
fn what_a_redirect_shows_is_compared_as_a_whole(scene: &Scene) {
    image(scene);
    scene.container("c", "image");
    let graph: BTreeMap<String, String> = scene.driver.graph("c").unwrap().data.into_iter().collect();
    let merged = tempfile::tempdir_in(scene.root.path()).unwrap();
    let options = format!(
        "redirect_dir=on,metacopy=on,index=off,lowerdir={},upperdir={},workdir={}",
        graph["LowerDir"], graph["UpperDir"], graph["WorkDir"]
    );
    mount::mount("overlay", merged.path(), "overlay", MountFlags::empty(), &options).unwrap();
    let at = |path: &str| merged.path().join(path);
    // Two directories change their names, and a file has the size and time of another.
    fs::rename(at("a"), at("z")).unwrap();
    fs::rename(at("b"), at("a")).unwrap();
    fs::rename(at("a/d"), at("z/b-d")).unwrap();
    fs::write(at("a/new"), "one").unwrap();
    mount::unmount(merged.path()).unwrap();
    let redirected = upper(scene, "c").join("a");
    lremovexattr(&redirected, "trusted.overlay.redirect").expect("the kernel left no redirect");
    lsetxattr(&redirected, "trusted.overlay.redirect", b"/b", XattrFlags::empty()).unwrap();
    compare(scene, &mut Counts::new()).unwrap();
    let told = lines(&scene.driver.changes("c", "c-init").unwrap());
    for line in ["A /z/d/e/f", "A /z/b-d/f", "D /b", "D /a/d", "A /a/new"] {
        assert!(told.contains(line), "{line} is not in {told:#?}");
    }
    assert!(!told.contains("C /a/f") && !told.contains("A /a/f"), "{told:#?}");
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    }
    // The mounts are this process's own, and end with it.
    let entered = in_namespaces(false, |_| {
        let place = Backing::Tmpfs.make().unwrap();
        let conclusion = libtest_mimic::run(&arguments, trials(place.path()));
        u8::from(conclusion.has_failed())
    });
    match entered {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            skip("user", &format!("{error:#}"));
            ExitCode::SUCCESS
        }
    }
}

/// Something asked of a driver.
type Test = fn(&Scene);

fn trials(place: &Path) -> Vec<Trial> {
    let mut trials = Vec::new();
    for driver in [overlay2::NAME, overlay::NAME, fuse_overlayfs::NAME] {
        if let Some(why) = driver::refusal(driver, place) {
            skip(
                if driver == fuse_overlayfs::NAME { driver } else { "overlay" },
                &format!("candidates of {driver}: {why}"),
            );
            continue;
        }
        let mut tests: Vec<(&str, Test)> = vec![
            (
                "a look at candidates finds what a look at everything finds",
                a_look_at_candidates_finds_what_a_look_at_everything_finds,
            ),
            (
                "what only the layer below had is told when it is gone",
                what_only_the_layer_below_had_is_told_when_it_is_gone,
            ),
            ("marks of every overlay are heeded", marks_of_every_overlay_are_heeded),
        ];
        if driver == overlay2::NAME {
            match layerlab_engine::sys::namespace::is_user_namespace() {
                false => tests.push((
                    "what a redirect shows is compared as a whole",
                    what_a_redirect_shows_is_compared_as_a_whole,
                )),
                true => skip("root", "an overlay of an ordinary user has no redirects"),
            }
        }
        for (name, test) in tests {
            let place = place.to_owned();
            trials.push(Trial::test(format!("{driver}: {name}"), move || {
                test(&Scene::begin(driver, &place));
                Ok(())
            }));
        }
    }
    trials
}
