//! The promise that the same change makes the same layer, asked of changes that are drawn: two layers of a few acts each, always the same ones.
//!
//! Checklist: DF-06, DF-08~, HL-10

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use layerlab_engine::driver::{Deviation, fuse_overlayfs};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use rustix::fs::{CWD, FileType, Mode, OFlags, XattrFlags, lgetxattr, llistxattr, lsetxattr, mknodat};

use super::canonical::{canonical, differences};
use super::changes::{Ability, CHANGED, MADE, set_time};
use super::scene::{Scene, Tree, tree};

/// How many changes are drawn where that is cheap, and elsewhere.
const CASES: (u32, u32) = (40, 12);

/// Few names, so that much happens to the same.
const PATHS: [&str; 12] = ["x", "y", "p", "q", "a", "a/x", "a/y", "a/p", "a/d", "a/d/x", "b", "b/x"];

/// What is done to a tree. What cannot be done is not: the same on every driver.
#[derive(Debug, Clone)]
enum Act {
    Write(&'static str, &'static str),
    Directory(&'static str),
    /// A directory that is there becomes another, and is empty.
    Anew(&'static str),
    Link(&'static str, &'static str),
    Symlink(&'static str),
    Pipe(&'static str),
    /// Of what is no directory: an overlay cannot rename one of a lower layer.
    Rename(&'static str, &'static str),
    Remove(&'static str),
    Permit(&'static str, u32),
    Own(&'static str, u32),
    Xattr(&'static str, &'static str),
    /// A file is copied up, and is as it was.
    Touch(&'static str),
}

fn act() -> impl Strategy<Value = Act> {
    let path = || select(&PATHS[..]);
    prop_oneof![
        4 => (path(), select(&["one", "two", "three"][..])).prop_map(|(path, text)| Act::Write(path, text)),
        2 => path().prop_map(Act::Directory),
        1 => path().prop_map(Act::Anew),
        3 => (path(), path()).prop_map(|(old, new)| Act::Link(old, new)),
        1 => path().prop_map(Act::Symlink),
        1 => path().prop_map(Act::Pipe),
        3 => (path(), path()).prop_map(|(old, new)| Act::Rename(old, new)),
        4 => path().prop_map(Act::Remove),
        2 => (path(), select(&[0o600, 0o644, 0o755][..])).prop_map(|(path, mode)| Act::Permit(path, mode)),
        1 => (path(), select(&[0, 33][..])).prop_map(|(path, owner)| Act::Own(path, owner)),
        2 => (path(), select(&["one", "two"][..])).prop_map(|(path, value)| Act::Xattr(path, value)),
        1 => path().prop_map(Act::Touch),
    ]
}

fn perform(act: &Act, root: &Path, able: Ability) -> io::Result<()> {
    let remove = |path: &Path| match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match *act {
        Act::Write(path, text) => {
            let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
            let mut open = fs::OpenOptions::new();
            let open = open.write(true).create(true).truncate(true).custom_flags(flags.cast_signed());
            open.open(root.join(path))?.write_all(text.as_bytes())
        }
        Act::Directory(path) => fs::create_dir(root.join(path)),
        Act::Anew(path) => {
            let path = root.join(path);
            if fs::symlink_metadata(&path)?.is_dir() {
                fs::remove_dir_all(&path)?;
                fs::create_dir(&path)?;
            }
            Ok(())
        }
        Act::Link(old, new) => fs::hard_link(root.join(old), root.join(new)),
        Act::Symlink(path) => symlink("x", root.join(path)),
        Act::Pipe(path) => Ok(mknodat(CWD, root.join(path), FileType::Fifo, Mode::RUSR, 0)?),
        Act::Rename(old, new) => {
            let old = root.join(old);
            if fs::symlink_metadata(&old)?.is_dir() { Ok(()) } else { fs::rename(old, root.join(new)) }
        }
        Act::Remove(path) => remove(&root.join(path)),
        Act::Permit(path, mode) => {
            let path = root.join(path);
            if fs::symlink_metadata(&path)?.is_symlink() {
                return Ok(());
            }
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        }
        Act::Own(path, owner) if able.gives_owners => lchown(root.join(path), Some(owner), None),
        Act::Own(..) => Ok(()),
        Act::Xattr(path, value) => Ok(lsetxattr(root.join(path), "user.of", value.as_bytes(), XattrFlags::empty())?),
        Act::Touch(path) => {
            let path = root.join(path);
            let meta = fs::symlink_metadata(&path)?;
            lchown(path, Some(meta.uid()), Some(meta.gid()))
        }
    }
}

/// A change of two layers.
type Case = [Vec<Act>; 2];

/// What came of one layer of it.
struct Made {
    /// What is there, with times and xattrs.
    shown: Tree,
    walked: Vec<u8>,
    own: Vec<u8>,
}

/// Whether trees and layers of the same acts are the same on this driver as on copies, which vfs makes. Where a driver makes another tree of the
/// same acts (an overlay copies one name of a file and not its others) the layers are others too; that must be the exception.
pub fn drawn_changes_make_the_same_layers(scene: &Scene) {
    // A program for each mount takes its time.
    let is_cheap = scene.backing() == "tmpfs" && scene.name != fuse_overlayfs::NAME || scene.name == "btrfs";
    let cases = if is_cheap { CASES.0 } else { CASES.1 };
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let copies = Scene::begin("vfs", scene.root.path().parent().unwrap());
    for scene in [scene, &copies] {
        base(scene);
    }
    let counts = RefCell::new((0, 0));
    let acts = || proptest::collection::vec(act(), 1..8);
    let judged = runner.run(&[acts(), acts()], |case| {
        let compared = judge(scene, &copies, &case).map_err(TestCaseError::fail)?;
        counts.borrow_mut().0 += compared;
        counts.borrow_mut().1 += case.len();
        Ok(())
    });
    match judged {
        Ok(()) => {}
        Err(TestError::Fail(why, case)) => panic!("{why}\nof {case:#?}"),
        Err(other) => panic!("{other}"),
    }
    let (compared, of) = counts.into_inner();
    assert!(2 * compared > of, "only {compared} of {of} layers came of the same tree");
}

fn base(scene: &Scene) {
    scene.layer_of("base", None, |root| {
        for directory in ["a", "a/d", "b"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        for file in ["x", "p", "a/x", "a/d/x"] {
            fs::write(root.join(file), file).unwrap();
        }
        fs::hard_link(root.join("p"), root.join("a/p")).unwrap();
        symlink("x", root.join("b/x")).unwrap();
        tree(root).keys().rev().for_each(|path| set_time(&root.join(path), MADE));
    });
}

/// How many layers of the case could be compared, or what is not alike.
fn judge(scene: &Scene, copies: &Scene, case: &Case) -> Result<usize, String> {
    let able = Ability::with(&*scene.driver);
    let mut compared = 0;
    for (number, acts) in case.iter().enumerate() {
        let below = if number == 0 { "base" } else { "first" };
        let copied = made(copies, below, acts, able, &BTreeMap::new());
        let times = times(&copied.shown);
        let made = made(scene, below, acts, able, if able.keeps_times { &NO_TIMES } else { &times });
        // The next lies on the same.
        let mut layers = vec![("first", &copied.walked), ("of-walked", &made.walked), ("of-own", &made.own)];
        if number > 0 {
            layers.remove(0);
        }
        for (id, tar) in &layers {
            scene.apply(id, Some(below), tar);
        }
        if number == 0 {
            copies.apply("first", Some(below), &copied.walked);
        }
        let [of_walked, of_own] = ["of-walked", "of-own"].map(|id| whole(scene.driver.view(id).unwrap().path()));
        let below = scene.tree(below);
        for id in ["of-walked", "of-own", "c", "c-init"] {
            scene.driver.remove(id).unwrap();
        }
        for id in ["c", "c-init"] {
            copies.driver.remove(id).unwrap();
        }
        if of_own != of_walked {
            remove_first(scene, copies);
            return Err(format!("layer {number} makes another than its tree makes:\n{}", lines(&of_own, &of_walked)));
        }
        let tells_times = !scene.driver.deviates(Deviation::DirectoryTimesUnseen);
        let (expected, observed) = (carried(&made.shown, tells_times), carried(&of_own, tells_times));
        if expected != observed {
            remove_first(scene, copies);
            return Err(format!("layer {number} does not make its tree:\n{}", lines(&expected, &observed)));
        }
        if made.shown == copied.shown {
            compared += 1;
            let told = said(&made, &copied, scene, &below);
            if !told.is_empty() {
                remove_first(scene, copies);
                return Err(format!("layer {number} of the same tree is another: {told}"));
            }
        }
    }
    remove_first(scene, copies);
    Ok(compared)
}

static NO_TIMES: BTreeMap<PathBuf, i64> = BTreeMap::new();

fn remove_first(scene: &Scene, copies: &Scene) {
    for scene in [scene, copies] {
        scene.driver.remove("first").unwrap();
    }
}

/// In what the layers of one tree differ.
fn said(made: &Made, copied: &Made, scene: &Scene, below: &Tree) -> String {
    let differ = |one: &[u8], other: &[u8]| differences(&canonical(one, below), &canonical(other, below));
    let mut told = differ(&made.walked, &copied.walked);
    let able = Ability::with(&*scene.driver);
    if told.is_empty() && made.walked != copied.walked && (able.keeps_times || able.gives_owners) {
        told += "the same entries are written otherwise";
    }
    if !scene.driver.deviates(Deviation::LayerIsTheUpper) && made.own != made.walked {
        // Directories that took the place of equal ones are seen here.
        let (own, walked) = (canonical(&made.own, below), canonical(&made.walked, below));
        let is_replaced = |path: &PathBuf| !walked.contains_key(path) && own[path].starts_with("Directory");
        let others = own.iter().filter(|(path, _)| !is_replaced(path)).map(|(path, line)| (path.clone(), line.clone()));
        told += &differences(&others.collect(), &walked);
    }
    told
}

/// What a container on `below` makes.
fn made(scene: &Scene, below: &str, acts: &[Act], able: Ability, times: &BTreeMap<PathBuf, i64>) -> Made {
    scene.container("c", below);
    scene.edit("c", |root| {
        for act in acts {
            // What is not possible is so everywhere, or shows in the tree.
            let _ = perform(act, root, able);
        }
        for path in tree(root).keys().rev() {
            let meta = fs::symlink_metadata(root.join(path)).unwrap();
            if meta.mtime() > CHANGED {
                set_time(&root.join(path), times.get(path).copied().unwrap_or(CHANGED));
            }
        }
    });
    let shown = whole(scene.driver.view("c").unwrap().path());
    Made { shown, walked: scene.walked("c", "c-init"), own: scene.tar("c", Some("c-init")) }
}

/// What is below `root`, with times and xattrs.
fn whole(root: &Path) -> Tree {
    let mut tree = tree(root);
    for (path, said) in &mut tree {
        let path = root.join(path);
        *said = format!("{} {said}", fs::symlink_metadata(&path).unwrap().mtime());
        let mut names = [0; 4096];
        let length = llistxattr(&path, &mut names[..]).unwrap();
        if names[..length].split(|byte| *byte == 0).any(|name| name == b"user.of") {
            let mut value = [0; 16];
            let length = lgetxattr(&path, "user.of", &mut value[..]).unwrap();
            *said += &format!(" user.of={}", String::from_utf8_lossy(&value[..length]));
        }
    }
    // Of the root's time no layer tells.
    tree.remove(Path::new(""));
    tree
}

/// What a layer tells of a tree: no xattrs of users, and the times of directories only if `tells_times`.
fn carried(shown: &Tree, tells_times: bool) -> Tree {
    let mut carried = shown.clone();
    for said in carried.values_mut() {
        let (time, rest) = said.split_once(' ').unwrap();
        let rest = rest.split(" user.of=").next().unwrap();
        *said = if rest.ends_with("directory") && !tells_times { rest.to_owned() } else { format!("{time} {rest}") };
    }
    carried
}

/// The times of a tree's files.
fn times(shown: &Tree) -> BTreeMap<PathBuf, i64> {
    let time = |said: &String| said.split(' ').next().unwrap().parse().unwrap();
    shown.iter().map(|(path, said)| (path.clone(), time(said))).collect()
}

fn lines(one: &Tree, other: &Tree) -> String {
    let paths: BTreeSet<&PathBuf> = one.keys().chain(other.keys()).collect();
    let differ = paths.into_iter().filter(|path| one.get(*path) != other.get(*path));
    differ.map(|path| format!("{path:?}: {:?}, {:?}\n", one.get(path), other.get(path))).collect()
}
