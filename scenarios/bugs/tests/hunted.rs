//! Detectors see the bugs that they are about.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use layerlab_bugs::bug::{Bug, Home, Received};
use layerlab_bugs::catalogue;
use layerlab_bugs::hunt::{Effort, Kill, Until, seen_by};
use layerlab_engine::layer::{UnpackError, Unpacked};
use layerlab_scenarios::skip::skip;

/// How many cases a bug is looked for here; the whole catalogue is `cargo xtask bugs`.
const CASES_MAX: u64 = 200;

/// A detector, and a bug that it sees.
const SEEN: [(&str, &str); 9] = [
    ("received-layers-touch-nothing-else", "modes-are-set-through-symbolic-links"),
    ("received-layers-give-the-models-tree", "implied-directories-are-for-the-superuser-alone"),
    ("received-layers-leave-nothing-behind", "a-layer-that-is-refused-stays-open"),
    ("what-no-layer-may-be-is-refused", "links-with-rooted-targets-are-refused"),
    ("merged-view-equals-the-model", "whiteouts-are-forgotten-by-a-remount"),
    ("inode-numbers-are-as-promised", "a-new-link-is-another-file"),
    ("refused-steps-change-nothing", "a-refused-chmod-copies-up"),
    ("layer-tars-are-well-formed", "whiteouts-are-packed-as-links"),
    ("diffs-are-deterministic", "whiteouts-come-in-any-order"),
];

/// What comes of a search; nothing where this machine cannot be asked.
fn hunted(name: &str, bug: &'static dyn Bug, cases_max: u64, until: Until) -> Option<Vec<Kill>> {
    if !rustix::process::geteuid().is_root() {
        skip("root", "bugs are seeded in what only root can mount");
        return None;
    }
    Some(seen_by(name, bug, Effort { cases_max, until, ..Effort::default() }).unwrap())
}

#[test]
fn bugs_are_seen_by_the_detectors_that_are_about_them() {
    let all = catalogue::all();
    for (detector, name) in SEEN {
        let entry = all.iter().find(|entry| entry.name == name).unwrap();
        let Some(kills) = hunted(name, entry.bug, CASES_MAX, Until::This(detector)) else { return };
        assert!(kills.iter().any(|kill| kill.detector == detector), "{name}: {kills:?}");
    }
}

/// A bug of this test's own, as anybody outside can write one.
struct ZerosBehindATarAreForgotten;

impl Bug for ZerosBehindATarAreForgotten {
    fn home(&self) -> Home {
        Home::Driver("vfs")
    }

    fn unpack(&self, layer: &mut Received<'_>) -> Result<Unpacked, UnpackError> {
        let tar = layer.read()?;
        // A record that ends too soon.
        layer.unpack_and_note(&tar, |noted| noted.truncate(noted.len() / 2))
    }
}

#[test]
fn a_bug_of_somebody_elses_is_seen_too() {
    let Some(kills) = hunted("mine", &ZerosBehindATarAreForgotten, 20, Until::Everybody(20)) else { return };
    assert!(kills.iter().any(|kill| kill.detector == "received-tars-come-back"), "{kills:?}");
}
