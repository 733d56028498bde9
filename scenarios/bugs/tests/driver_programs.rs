//! Our own drivers, asked on the command line as any driver program is, keep the laws; with a bug in one they do not.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;

use layerlab_bugs::hunt::MEMORY;
use layerlab_properties::campaign::{Campaign, Counts, Failure};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::enter::own_mounts;
use layerlab_properties::laws;
use layerlab_properties::machine::Host;
use layerlab_properties::subjects;
use layerlab_properties::subjects::program::LIMIT;
use layerlab_scenarios::skip::skip;

const CASES: u64 = 24;
const STEPS: usize = 30;

/// What breaks first of the driver program that is called with `options`; None where nothing does.
fn broken(options: &str, cases: u64) -> Option<Failure> {
    let place = tempfile::tempdir_in(MEMORY).unwrap();
    let program = place.path().join("driver");
    fs::write(&program, format!("#!/bin/sh\nexec '{}' {options} \"$@\"\n", env!("CARGO_BIN_EXE_layerlab-driver")))
        .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let run = || {
        own_mounts().unwrap();
        prepare_thread().unwrap();
        let subject = subjects::named(program.to_str().unwrap(), LIMIT).unwrap().unwrap();
        let host = &Host::probe(true).on(Path::new(MEMORY)).unwrap();
        let (laws, place) = (&laws::ALL[..], place.path().to_owned());
        let campaign = Campaign { subject: &*subject, host, laws, place, length: STEPS };
        let mut counts = Counts::default();
        let found = (1..=cases).find_map(|seed| campaign.find(seed, &mut counts).err());
        let of_tars = ["applying-a-diff-gives-the-tree", "changes-are-the-models", "looking-changes-nothing"];
        let asked = of_tars.iter().all(|law| counts.judgements_of(law) > 0);
        assert!(found.is_some() || asked, "its tars were never asked for");
        found
    };
    thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// Whether this machine can.
fn can() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("root", "drivers mount");
    }
    is_root
}

#[test]
fn our_drivers_on_the_command_line_keep_the_laws() {
    // Docker's legacy driver takes no image's layer on one that was written to.
    for driver in ["overlay2", "vfs"].iter().filter(|_| can()) {
        let found = broken(&format!("--driver {driver}"), CASES);
        assert!(found.is_none(), "{driver}: {found:?}");
    }
}

#[test]
fn a_driver_on_the_command_line_with_a_bug_breaks_a_law() {
    for bug in ["whiteouts-are-unpacked-as-files", "long-names-are-cut"].iter().filter(|_| can()) {
        let found = broken(&format!("--driver overlay2 --bug {bug}"), 10 * CASES);
        let law = found.as_ref().and_then(|failure| failure.broken.law);
        assert_eq!(law, Some("applying-a-diff-gives-the-tree"), "{bug}: {found:?}");
    }
}
