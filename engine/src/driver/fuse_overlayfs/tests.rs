//! The real program, where this machine has it: what is mounted, what is left, and what a layer holds.

use std::fs;

use super::*;
use crate::layer::{Contents, Owners, UnpackOptions, unpack};

/// A driver with the layers `a` (files `one` and `two`) and `c`, empty, on it; nothing where the program is missing.
fn driver() -> Option<(tempfile::TempDir, FuseOverlayfs)> {
    let why = need().or_else(|| (!crate::sys::capability::may_mount()).then(|| "mounts are root's".to_owned()));
    if let Some(why) = why {
        layerlab_scenarios::skip::skip(if need().is_some() { NAME } else { "root" }, &why);
        return None;
    }
    let root = tempfile::tempdir().unwrap();
    let driver = FuseOverlayfs::open(root.path()).unwrap();
    let content = root.path().join("content");
    fs::create_dir(&content).unwrap();
    fs::write(content.join("one"), "a").unwrap();
    fs::write(content.join("two"), "a").unwrap();
    driver.adopt("a", None, &content).unwrap();
    driver.create("c", Some("a")).unwrap();
    Some((root, driver))
}

/// How many programs have something below `root` open.
fn programs(root: &Path) -> usize {
    let is_one = |entry: &fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line.starts_with(NAME.as_bytes())
            && fs::read_dir(entry.path().join("fd")).is_ok_and(|fds| {
                fds.flatten().any(|fd| fs::read_link(fd.path()).is_ok_and(|file| file.starts_with(root)))
            })
    };
    fs::read_dir("/proc").unwrap().flatten().filter(is_one).count()
}

#[test]
fn a_view_leaves_no_mount_and_no_program_behind() {
    let Some((root, driver)) = driver() else { return };
    let view = driver.edit("c").unwrap();
    fs::write(view.path().join("three"), "c").unwrap();
    fs::remove_file(view.path().join("two")).unwrap();
    assert_eq!(programs(root.path()), 1);
    drop(view);
    assert_eq!(programs(root.path()), 0);
    let found = driver.changes("c", "a").unwrap();
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["A /three", "D /two"]);
    assert_eq!(driver.pack("c", Some("a"), &mut io::sink()).unwrap().entries, 2);
    assert_eq!(programs(root.path()), 0);
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&root.path().display().to_string()));
}

#[test]
fn what_is_attached_is_shown_as_dockers_is_and_ends_when_it_is_detached() {
    let Some((root, driver)) = driver() else { return };
    let merged = driver.attach("c").unwrap();
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let line = mounts.lines().find(|line| line.contains(&merged.display().to_string())).unwrap();
    assert!(line.starts_with("fuse-overlayfs /"), "{line}");
    assert!(
        line.ends_with("fuse.fuse-overlayfs rw,nodev,noatime,user_id=0,group_id=0,default_permissions,allow_other 0 0"),
        "{line}"
    );
    fs::write(driver.view("c").unwrap().path().join("one"), "changed").unwrap();
    driver.detach("c").unwrap();
    driver.detach("c").unwrap();
    assert!(!merged.exists());
    assert_eq!(programs(root.path()), 0);
    assert_eq!(fs::read_to_string(driver.layers.diff("c").join("one")).unwrap(), "changed");
    driver.remove("c").unwrap();
    assert_eq!(driver.all().unwrap(), ["a"]);
}

#[test]
fn deletions_lie_in_a_layer_as_they_do_in_its_tar() {
    let Some((root, driver)) = driver() else { return };
    let view = driver.edit("c").unwrap();
    fs::remove_file(view.path().join("two")).unwrap();
    drop(view);
    let mut tar = Vec::new();
    driver.pack("c", Some("a"), &mut tar).unwrap();
    let content = root.path().join("content");
    fs::create_dir(&content).unwrap();
    let options = UnpackOptions { contents: Contents::Layer, overlay: driver.marks(), owners: Owners::CallerOnly };
    unpack(&tar[..], &content, &options).unwrap();
    driver.adopt("b", Some("a"), &content).unwrap();
    assert!(driver.layers.diff("b").join(".wh.two").is_file());
    let view = driver.view("b").unwrap();
    let names: Vec<_> = fs::read_dir(view.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["one"]);
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let Some((_root, driver)) = driver() else { return };
    fs::remove_dir_all(driver.layers.work("c")).unwrap();
    fs::create_dir(driver.layers.work("c")).unwrap();
    fs::remove_dir_all(driver.layers.diff("c")).unwrap();
    let Err(error) = driver.edit("c") else { panic!("it was mounted") };
    assert!(error.to_string().contains("cannot retrieve path for c/diff: No such file or directory"), "{error}");
}
