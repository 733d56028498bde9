//! Every page replays on this engine, as root and as an ordinary user, and leaves the transcript and the trees it left
//! before; on a real dockerd where there is one.

use std::fs;
use std::path::PathBuf;

use layerlab_scenarios::page::Page;
use layerlab_scenarios::pages;
use layerlab_scenarios::skip::skip;

use super::{SKIPPED, lab, text, workspace};

/// The folders of all pages.
const ALL: [&str; 2] = ["walkthroughs", "cases"];

/// Replays pages; a host that cannot is `wanting` something, and that is said and counted.
fn replay(options: &[&str], wanting: &str) {
    let output = lab().args(["replay", "--quiet"]).args(options).output().unwrap();
    if output.status.code() == Some(SKIPPED) {
        return skip(wanting, &text(&output));
    }
    assert!(output.status.success(), "{}", text(&output));
}

/// The names of the pages that retell a document.
fn walkthroughs() -> Vec<String> {
    let entries = fs::read_dir(workspace().join("scenarios/walkthroughs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = entries.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|page| page.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_case_replays_and_leaves_a_sound_store() {
    replay(&["cases", "--check"], "user");
}

/// Checklist: N-25~
#[test]
fn every_walkthrough_leaves_a_sound_store_and_what_it_left_before() {
    let directory = tempfile::tempdir().unwrap();
    let names = walkthroughs();
    let mut options = vec!["--check", "--record", directory.path().to_str().unwrap()];
    options.extend(names.iter().map(String::as_str));
    replay(&options, "user");
    if !rustix::process::geteuid().is_root() {
        return skip("root", "the trees of an ordinary user have other marks; the snapshots are root's");
    }
    let mut records: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    records.sort();
    let snapshots = workspace().join("snapshots");
    assert_eq!(records.len(), 2 * names.len(), "each page leaves a transcript and trees");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&snapshots);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for record in &records {
            let name = record.file_name().unwrap().to_str().unwrap();
            insta::assert_snapshot!(name, fs::read_to_string(record).unwrap());
        }
    });
    let kept = fs::read_dir(snapshots).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for snapshot in kept.filter(|name| name.ends_with(".snap")) {
        let record = directory.path().join(snapshot.trim_end_matches(".snap"));
        assert!(record.exists(), "{snapshot} belongs to no walkthrough");
    }
}

#[test]
fn every_page_replays_for_an_ordinary_user() {
    replay(&[&ALL[..], &["--rootless", "--check"]].concat(), "user");
}

/// The folders of pages in which a driver has a say; of builds and runs the contract and the laws say more than the time that they take here.
const OF_LAYERS: &[&str] = &["archive", "commit", "copy", "diff", "storage", "whiteout"];

/// Those in which it has the most.
const OF_CHANGES: &[&str] = &["commit", "diff", "whiteout"];

#[test]
fn cases_about_layers_replay_with_overlay() {
    replay(&[OF_LAYERS, &["--check", "--driver", "overlay"]].concat(), "user");
}

#[test]
fn cases_about_layers_replay_with_vfs() {
    replay(&[OF_LAYERS, &["--check", "--driver", "vfs"]].concat(), "user");
}

#[test]
fn cases_about_changes_replay_with_btrfs() {
    replay(&[OF_CHANGES, &["--check", "--driver", "btrfs"]].concat(), "btrfs");
}

#[test]
fn cases_about_changes_replay_with_fuse_overlayfs() {
    replay(&[OF_CHANGES, &["--check", "--driver", "fuse-overlayfs"]].concat(), "fuse-overlayfs");
}

/// Replays the walkthroughs that can have the driver and are about another.
fn walkthroughs_replay_with(driver: &'static str, wanting: &str) {
    let page =
        |name: &String| Page::read(workspace().join("scenarios/walkthroughs").join(format!("{name}.md"))).unwrap();
    let mut names = walkthroughs();
    assert!(names.iter().all(|name| page(name).driver(Some(driver)) == driver), "a walkthrough shuts {driver} out");
    names.retain(|name| page(name).driver(None) != driver);
    let options: Vec<&str> = names.iter().map(String::as_str).chain(["--check", "--driver", driver]).collect();
    replay(&options, wanting);
}

#[test]
fn every_walkthrough_replays_with_overlay2() {
    walkthroughs_replay_with("overlay2", "user");
}

#[test]
fn every_walkthrough_replays_with_overlay() {
    walkthroughs_replay_with("overlay", "user");
}

#[test]
fn every_walkthrough_replays_with_vfs() {
    walkthroughs_replay_with("vfs", "user");
}

#[test]
fn every_walkthrough_replays_with_btrfs() {
    walkthroughs_replay_with("btrfs", "btrfs");
}

#[test]
fn every_walkthrough_replays_with_fuse_overlayfs() {
    walkthroughs_replay_with("fuse-overlayfs", "fuse-overlayfs");
}

#[test]
fn every_walkthrough_replays_on_a_real_dockerd() {
    replay_on_docker(&["walkthroughs"]);
}

#[test]
fn every_case_replays_on_a_real_dockerd_one_half() {
    replay_on_docker(&half_of_the_cases(0));
}

#[test]
fn every_case_replays_on_a_real_dockerd_the_other_half() {
    replay_on_docker(&half_of_the_cases(1));
}

fn replay_on_docker(folders: &[impl AsRef<str>]) {
    if !rustix::process::geteuid().is_root() {
        return skip("docker", "a dockerd needs root");
    }
    let folders: Vec<&str> = folders.iter().map(AsRef::as_ref).collect();
    replay(&[&folders[..], &["--on", "docker"]].concat(), "docker");
}

/// Every second folder of cases.
fn half_of_the_cases(first: usize) -> Vec<String> {
    let entries = fs::read_dir(workspace().join("scenarios/cases")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| *path != pages::findings()).collect();
    folders.sort();
    let names = folders.iter().map(|folder| folder.file_name().unwrap().to_str().unwrap().to_owned());
    names.skip(first).step_by(2).collect()
}

/// A driver, what it needs here, and of the pages about changes those in which it has the most to say; CONTRIBUTING.md has the words
/// for all of them.
const WHERE_DRIVERS_DIFFER: [(&str, &str, &[&str]); 4] = [
    ("vfs", "docker", &["removals-found-by-comparison"]),
    ("overlay", "docker", &["removals-found-by-comparison", "two-names-copied-up"]),
    ("btrfs", "btrfs", &["removals-found-by-comparison", "two-names-in-a-copy"]),
    ("fuse-overlayfs", "fuse-overlayfs", &["devices-and-large-owners"]),
];

#[test]
fn pages_about_changes_replay_on_a_real_dockerd_with_the_other_drivers() {
    if !rustix::process::geteuid().is_root() {
        return skip("docker", "a dockerd needs root");
    }
    for (driver, wanting, pages) in WHERE_DRIVERS_DIFFER {
        replay(&[pages, &["--on", "docker", "--driver", driver]].concat(), wanting);
    }
}

#[test]
fn a_walkthrough_told_as_html_draws_the_layers_of_its_images() {
    let directory = tempfile::tempdir().unwrap();
    let option = format!("--html={}", directory.path().display());
    let output = lab().args(["replay", "httpd", &option]).output().unwrap();
    if output.status.code() == Some(SKIPPED) {
        return skip("user", &text(&output));
    }
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("file://"), "it says what to open: {}", text(&output));
    let html = fs::read_to_string(directory.path().join("httpd.html")).unwrap();
    let list = fs::read_to_string(directory.path().join("index.html")).unwrap();
    assert!(list.contains("href=\"httpd.html\""), "{list}");
    // The first pull brings an image of five layers, the commit at the end makes one of six that shares them.
    let pictures: Vec<&str> = html.split("<svg class=\"stack\"").skip(1).collect();
    let count = |picture: &str, what: &str| picture.split("</svg>").next().unwrap().matches(what).count();
    assert_eq!(count(pictures[0], "<g class=\"layer"), 5);
    let last = pictures[pictures.len() - 1];
    assert_eq!((count(last, "<g class=\"layer"), count(last, "<g class=\"image")), (7, 3), "centos has one more");
    assert_eq!(count(last, "<g class=\"container stopped"), 1);
}
