//! Each situation notices somebody who meddles with it in the moment before it looks, and holds where nobody does.
//!
//! Checklist: N-28~

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::time::SystemTime;

use layerlab_properties::enter::own_mounts;
use layerlab_properties::laws::Judged;
use layerlab_properties::machine::Host;
use layerlab_properties::situations::{ALL, Situation, Stage};
use layerlab_properties::subjects;
use layerlab_scenarios::skip::skip;
use rustix::fs::{IFlags, ioctl_setflags};

mod memory;

use memory::memory;

/// What somebody does in a stage to the tree that is looked at.
type Meddle = fn(&Stage<'_>, &Path);

/// Subjects of which one has something for each of them.
const SUBJECTS: [&str; 2] = ["overlay-nfs-export", "overlay"];

fn meddled() -> Vec<(&'static str, Meddle)> {
    vec![
        ("mappings-show-what-is-written", |_, root| overwrite(&root.join("own"), 0)),
        ("locks-survive-a-copy-up", |_, root| replace(&root.join("whole"))),
        ("locks-survive-a-copy-up", |_, root| replace(&root.join("description"))),
        ("locks-survive-a-copy-up", |_, root| drop(File::open(root.join("process")).unwrap())),
        ("locks-name-the-inode-that-stat-names", |_, root| replace(&root.join("below"))),
        ("fsync-succeeds-on-files-of-every-layer", |_, root| overwrite(&root.join("copied"), 0)),
        ("a-working-directory-survives-a-refused-rmdir", |_, root| fs::remove_dir_all(root.join("below")).unwrap()),
        ("watches-see-what-is-done-after-a-copy-up", |_, root| fs::write(root.join("dir/more"), "").unwrap()),
        ("watches-see-what-is-done-after-a-copy-up", |_, root| append(&root.join("dir/log"))),
        ("holes-stay-holes", |_, root| overwrite(&root.join("sparse"), 0)),
        ("holes-stay-holes", |_, root| overwrite(&root.join("sparse"), 2 << 20)),
        ("four-gibibytes-are-copied-up", |_, root| overwrite(&root.join("large"), 1 << 32)),
        ("times-come-up-and-are-set-one-by-one", |_, root| set_access_time(&root.join("chmod"))),
        ("times-come-up-and-are-set-one-by-one", |_, root| append(&root.join("atime"))),
        ("a-full-disk-leaves-the-file-as-it-was", |stage, _| fs::write(stage.place().join("left"), "left").unwrap()),
        ("a-deletion-without-room-is-done-or-leaves-the-file", |_, root| overwrite(&root.join("file"), 0)),
        ("links-of-directories-are-counted-or-constant", |_, root| fs::write(root.join("above/file"), "").unwrap()),
        ("file-attributes-are-kept-and-enforced", |_, root| without_attributes(&root.join("below-immutable"))),
        ("file-attributes-are-kept-and-enforced", |_, root| without_attributes(&root.join("above-append"))),
        ("file-attributes-come-up-with-their-file", |_, root| without_attributes(&root.join("append"))),
        ("file-attributes-come-up-with-their-file", |_, root| without_attributes(&root.join("unread"))),
        ("private-attributes-are-well-formed", |stage, _| without(stage, "dir/file", "origin")),
        ("private-attributes-are-well-formed", |stage, _| without(stage, "dir", "impure")),
        ("private-attributes-are-well-formed", |stage, _| without(stage, "dir/linked", "nlink")),
        ("private-attributes-of-an-inner-overlay-are-kept", |_, root| {
            rustix::fs::removexattr(root.join("dir"), "trusted.overlay.opaque").unwrap();
        }),
        ("files-are-copied-up-whole-while-others-read", |_, root| overwrite(&root.join("7"), 100)),
        ("files-are-copied-up-whole-while-others-read", |_, root| append(&root.join("7"))),
        ("no-append-is-lost-in-a-crowd", |_, root| overwrite(&root.join("log"), 60)),
        ("two-names-copied-up-at-once-are-one-file", |_, root| overwrite(&root.join("3-0"), 1)),
        ("two-names-copied-up-at-once-are-one-file", |_, root| replace(&root.join("3-0"))),
        ("a-crowd-leaves-a-sound-tree", |_, root| fs::write(root.join("late"), "").unwrap()),
        ("a-name-added-to-a-lower-layer-does-no-harm", |_, root| overwrite(&root.join("two"), 0)),
        ("a-copied-copy-is-a-file-of-its-own", |_, root| append(&root.join("two"))),
        ("nonsense-in-private-attributes-does-no-harm", |_, root| append(&root.join("dir/2"))),
        ("cold-caches-show-the-same", |_, root| overwrite(&root.join("dir-1/deep/changed"), 0)),
        ("file-handles-find-their-files", |_, root| replace(&root.join("changed"))),
        ("file-handles-find-their-files", |_, root| append(&root.join("dir/elsewhere"))),
        ("whiteouts-of-attributes-hide", |_, root| fs::write(root.join("dir/hidden"), "").unwrap()),
        ("whiteouts-of-attributes-hide", |_, root| fs::remove_file(root.join("dir/shown")).unwrap()),
        ("without-an-upper-layer-nothing-is-written", |stage, _| overwrite(&stage.place().join("other/file"), 0)),
        ("what-a-crash-left-in-the-work-directory-is-cleared", |stage, _| {
            fs::create_dir(stage.work().unwrap().join("work/#9")).unwrap();
        }),
        ("an-upper-layer-is-not-mounted-twice", |stage, _| renew(&stage.place().join("upper"))),
        ("layers-of-another-stack-are-refused", |stage, _| renew(&stage.place().join("upper"))),
        ("layers-within-one-another-are-refused", |_, place| {
            let within = place.join("a/lower");
            if within.exists() {
                move_out(&within, &place.join("moved"));
            }
        }),
        ("an-overlay-is-no-upper-layer", |stage, root| {
            for name in ["upper", "work"] {
                let outside = stage.place().join(format!("outside-{name}"));
                fs::create_dir(&outside).unwrap();
                fs::remove_dir(root.join(name)).unwrap();
                symlink(outside, root.join(name)).unwrap();
            }
        }),
        ("an-overlay-lies-on-an-overlay", |_, root| overwrite(&root.join("dir/two"), 0)),
        ("an-overlay-lies-on-an-overlay", |stage, _| overwrite(&stage.at("dir/two"), 0)),
        ("a-file-system-has-an-identity-of-its-own", |stage, _| {
            rustix::fs::removexattr(stage.place().join("upper"), "trusted.overlay.uuid").unwrap();
        }),
        ("files-with-one-number-in-two-layers-are-two", |stage, _| overwrite(&stage.place().join("layer-one/one"), 9)),
        ("erofs-images-are-lower-layers", |_, root| overwrite(&root.join("kept"), 0)),
        ("erofs-images-are-lower-layers", |_, root| overwrite(&root.join("dir/changed"), 0)),
        ("squashfs-images-are-lower-layers", |_, root| overwrite(&root.join("kept"), 0)),
        ("squashfs-images-are-lower-layers", |_, root| fs::write(root.join("dir/deep/more"), "").unwrap()),
    ]
}

/// Something else at an offset.
fn overwrite(path: &Path, offset: u64) {
    File::options().write(true).open(path).unwrap().write_all_at(b"?", offset).unwrap();
}

fn append(path: &Path) {
    let file = File::options().append(true).open(path).unwrap();
    std::io::Write::write_all(&mut &file, b"?").unwrap();
}

/// Another file with the same content.
fn replace(path: &Path) {
    let other = path.with_extension("other");
    fs::copy(path, &other).unwrap();
    fs::rename(&other, path).unwrap();
}

/// Another, empty directory.
fn renew(path: &Path) {
    fs::rename(path, path.with_extension("old")).unwrap();
    fs::create_dir(path).unwrap();
}

fn set_access_time(path: &Path) {
    let times = FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH);
    File::options().append(true).open(path).unwrap().set_times(times).unwrap();
}

fn move_out(path: &Path, to: &Path) {
    fs::rename(path, to).unwrap();
    symlink(to, path).unwrap();
}

fn without_attributes(path: &Path) {
    ioctl_setflags(File::open(path).unwrap(), IFlags::empty()).unwrap();
}

/// Takes one of overlayfs's own attributes away in the upper layer.
fn without(stage: &Stage<'_>, path: &str, name: &str) {
    let path = stage.upper_root().unwrap().join(path);
    rustix::fs::removexattr(path, format!("trusted.overlay.{name}")).unwrap();
}

/// What a situation says of somebody who meddles; `None` when this machine cannot be asked.
fn said(situation: &Situation, meddle: &dyn Fn(&Stage<'_>, &Path)) -> Option<Result<Judged, Vec<String>>> {
    if !rustix::process::geteuid().is_root() {
        skip("root", "the kernel's overlayfs with all its options is root's");
        return None;
    }
    let place = memory();
    let host = Host::probe(true).on(&place).unwrap();
    let all = subjects::all();
    let mut verdict = None;
    for name in SUBJECTS {
        let subject = all.iter().find(|subject| subject.name() == name).unwrap();
        if let Some(why) = subject.refusal(&host).or_else(|| subject.refusal_on(&place)) {
            skip("overlay", &why);
            return None;
        }
        verdict = Some(situation.hold(&**subject, &host, &place, meddle));
        if !matches!(verdict, Some(Ok(Judged::Lacking(_)))) {
            break;
        }
    }
    verdict
}

#[test]
fn whoever_meddles_with_a_situation_is_noticed() {
    own_mounts_or_skip();
    for (name, meddle) in meddled() {
        let situation = ALL.iter().find(|situation| situation.name() == name).unwrap();
        match said(situation, &meddle) {
            None => return,
            Some(Ok(Judged::Lacking(what))) => lacking(name, what),
            Some(verdict) => assert!(verdict.is_err(), "{name} does not notice it"),
        }
    }
}

#[test]
fn every_situation_is_meddled_with_and_holds_if_not() {
    own_mounts_or_skip();
    let meddled: BTreeSet<&str> = meddled().into_iter().map(|(name, _)| name).collect();
    for situation in ALL.iter() {
        assert!(meddled.contains(situation.name()), "nobody meddles with {}", situation.name());
        match said(situation, &|_, _| ()) {
            None => return,
            Some(Ok(Judged::Lacking(what))) => lacking(situation.name(), what),
            Some(verdict) => assert_eq!(verdict, Ok(Judged::Held), "{}", situation.name()),
        }
    }
}

/// A situation that this machine has nothing for.
fn lacking(name: &str, what: &str) {
    let word = ["erofs", "squashfs"].into_iter().find(|kind| name.starts_with(kind)).unwrap_or("overlay");
    skip(word, &format!("{name}: there is no {what}"));
}

/// Mounts end with this thread.
fn own_mounts_or_skip() {
    if rustix::process::geteuid().is_root() {
        own_mounts().unwrap();
    }
}
