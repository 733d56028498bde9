//! Who promises what kernels, file systems and engines are known not to keep breaks a law, and is told which deviation that is.
//!
//! Checklist: N-27

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use layerlab_model::operation::{Step, User};
use layerlab_model::promises::Promises;
use layerlab_properties::backing::{Backing, BackingError};
use layerlab_properties::campaign::{Campaign, Counts, Failure};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::known;
use layerlab_properties::laws;
use layerlab_properties::machine::Host;
use layerlab_properties::subjects::{self, Stack, Subject, SubjectError};
use layerlab_properties::verdict::Verdict;
use layerlab_scenarios::skip::skip;

/// How many cases may be needed to find one.
const CASES_MAX: u64 = 4000;

/// A subject that promises otherwise than it should.
struct Boaster<'a> {
    inner: &'a dyn Subject,
    promise: fn(&mut Promises),
}

impl Subject for Boaster<'_> {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn promises(&self, host: &Host) -> Promises {
        let mut promises = self.inner.promises(host);
        (self.promise)(&mut promises);
        promises
    }

    fn refusal(&self, host: &Host) -> Option<String> {
        self.inner.refusal(host)
    }

    fn begin(&self, place: &Path) -> Result<Box<dyn Stack>, SubjectError> {
        self.inner.begin(place)
    }
}

/// The first failure of random cases, or of `steps` where it takes long to come across.
fn failure_of(campaign: &Campaign<'_>, steps: &[Step]) -> Failure {
    if steps.is_empty() {
        let mut counts = Counts::default();
        let failure = (1..CASES_MAX).find_map(|seed| campaign.run(seed, &mut counts).err());
        return failure.expect("a promise that is kept");
    }
    let broken = campaign.replay(steps).expect_err("a promise that is kept");
    Failure { seed: 0, length: steps.len(), steps: steps.to_vec(), broken }
}

/// What somebody is told whose `subject` on `backing` makes this promise, and breaks `law` by it.
fn told(
    subject: &str,
    backing: &Backing,
    law: &str,
    promise: fn(&mut Promises),
    steps: &[Step],
) -> Option<(Failure, String)> {
    let search = || -> Result<(Failure, String), String> {
        layerlab_properties::enter::own_mounts().unwrap();
        prepare_thread().unwrap();
        let place = match backing.make() {
            Err(BackingError::Unavailable { reason, .. }) => return Err(reason),
            place => place.unwrap(),
        };
        let host = Host::probe(true).on(place.path()).unwrap();
        let all = subjects::all();
        let inner = all.iter().find(|known| known.name() == subject).unwrap();
        let boaster = Boaster { inner: &**inner, promise };
        let laws = [*laws::ALL.iter().find(|known| known.name() == law).unwrap()];
        let campaign =
            Campaign { subject: &boaster, host: &host, laws: &laws, place: place.path().to_owned(), length: 40 };
        let failure = failure_of(&campaign, steps);
        let scene = campaign.scene(&failure.steps);
        let backing = backing.to_string();
        let verdict =
            Verdict { failure: &failure, subject, backing: &backing, kernel: &host.kernel, scene: scene.as_ref() };
        let text = verdict.to_string();
        drop(place);
        Ok((failure, text))
    };
    if !rustix::process::geteuid().is_root() {
        skip("root", "layers are mounted");
        return None;
    }
    match std::thread::scope(|scope| scope.spawn(search).join().unwrap()) {
        Ok(found) => Some(found),
        Err(reason) => {
            let wanting = backing.to_string();
            skip(&wanting, &reason);
            None
        }
    }
}

fn is_known(subject: &str, backing: &str, law: &str, word: &str, promise: fn(&mut Promises)) {
    is_known_after(subject, backing, law, word, promise, &[]);
}

/// Steps of root, one in each line.
fn read(text: &str) -> Vec<Step> {
    let step = |line: &str| Step { user: User::Root, operation: serde_json::from_str(line).unwrap() };
    text.lines().map(step).collect()
}

fn is_known_after(subject: &str, backing: &str, law: &str, word: &str, promise: fn(&mut Promises), steps: &[Step]) {
    let backing: Backing = backing.parse().unwrap();
    let Some((failure, text)) = told(subject, &backing, law, promise, steps) else { return };
    let known = known::matching(failure.broken.law, &backing.to_string(), &failure.steps, &failure.broken.findings);
    assert!(known.iter().any(|deviation| deviation.what.contains(word)), "{text}");
    assert!(text.contains("\nknown deviation: "), "{text}");
    assert!(text.contains("merged tree, - as it should be, + as it is:\n"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("mount: "), "{text}");
    if subject != "plain" {
        assert!(text.contains(" - overlay overlay ") && text.contains("upperdir="), "{text}");
    }
}

const MERGED: &str = "merged-view-equals-the-model";
const REFUSED: &str = "refused-steps-change-nothing";

#[test]
fn attributes_that_are_refused_copy_up() {
    let promise = |promises: &mut Promises| promises.refused_xattrs_copy_up = false;
    is_known("overlay", "tmpfs", REFUSED, "to set or remove an attribute", promise);
}

#[test]
fn renames_that_are_refused_leave_marks() {
    let promise = |promises: &mut Promises| promises.refused_renames_prepare = false;
    is_known("overlay", "tmpfs", REFUSED, "before a rename is refused", promise);
}

#[test]
fn directories_of_lower_layers_stay() {
    let promise = |promises: &mut Promises| promises.lower_directories_move = true;
    is_known("overlay", "tmpfs", MERGED, "renames no directory", promise);
    is_known("layerlab-overlay2", "tmpfs", MERGED, "renames no directory", promise);
}

#[test]
fn the_root_of_a_layer_is_its_own() {
    let promise = |promises: &mut Promises| promises.root_is_inherited = true;
    is_known("layerlab-overlay2", "tmpfs", MERGED, "mode and owner of its own", promise);
}

#[test]
fn xfs_touches_directories_that_change_places() {
    let promise = |promises: &mut Promises| promises.exchanged_directories_keep_their_time = true;
    is_known("plain", "xfs", MERGED, "changes places", promise);
}

#[test]
fn xfs_calls_a_full_directory_existing() {
    let promise = |promises: &mut Promises| promises.full_directories_are_not_empty = true;
    is_known("plain", "xfs", MERGED, "EEXIST", promise);
}

#[test]
fn ext4_touches_directories_before_it_refuses() {
    let promise = |promises: &mut Promises| promises.refused_whiteouts_keep_times = true;
    let steps = r#"{"do":"mkdir","path":"/a","mode":493}
{"do":"commit"}
{"do":"rmdir","path":"/a"}
{"do":"mkdir","path":"/a","mode":493}
{"do":"mkdir","path":"/b","mode":493}
{"do":"mkdir","path":"/b/c","mode":493}
{"do":"set-time","target":{"path":"/"},"time":{"seconds":12,"nanoseconds":0}}
{"do":"rename","from":"/a","to":"/b","replace":"yes"}"#;
    is_known_after("overlay", "ext4", MERGED, "leaves a whiteout", promise, &read(steps));
}

#[test]
fn btrfs_punches_no_hole_twice() {
    let promise = |promises: &mut Promises| promises.holes_are_punched_again = true;
    let steps = r#"{"do":"open","slot":0,"path":"/a","flags":{"access":"write","create":true},"mode":420}
{"do":"set-time","target":{"path":"/a"},"time":{"seconds":12,"nanoseconds":0}}
{"do":"allocate","slot":0,"how":"punch","offset":0,"length":5}"#;
    is_known_after("plain", "btrfs", MERGED, "hole", promise, &read(steps));
}

#[test]
fn memory_changes_nothing_by_truncating_to_the_same_length() {
    let promise = |promises: &mut Promises| promises.truncating_to_the_same_length_is_a_change = true;
    let steps = r#"{"do":"mknod-file","path":"/a","mode":420}
{"do":"set-time","target":{"path":"/a"},"time":{"seconds":12,"nanoseconds":0}}
{"do":"truncate","target":{"path":"/a"},"length":0}"#;
    is_known_after("plain", "tmpfs", MERGED, "length that it has", promise, &read(steps));
}
