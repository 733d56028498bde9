//! Layers that others made are what the model makes of them, on each driver.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;

use layerlab_engine::driver;
use layerlab_properties::backing::{Backing, BackingError};
use layerlab_properties::campaign::Counts;
use layerlab_properties::enter::own_mounts;
use layerlab_properties::received::{Campaign, laws};
use layerlab_properties::subjects::SubjectError;
use layerlab_scenarios::skip::skip;

mod memory;

use memory::memory;

/// How many cases each driver has.
const CASES: u64 = 300;

#[test]
fn layers_that_others_made_are_the_models_on_each_driver() {
    if !rustix::process::geteuid().is_root() {
        skip("root", "the entries have owners of all kinds");
        return;
    }
    for name in ["overlay2", "overlay", "vfs", "btrfs"] {
        std::thread::spawn(move || {
            own_mounts().unwrap();
            let on = if name == "btrfs" { Backing::Loop("btrfs") } else { Backing::Directory(memory()) };
            let on = match on.make() {
                Err(error @ BackingError::Unavailable { .. }) => return skip("btrfs", &error.to_string()),
                on => on.unwrap(),
            };
            let place = tempfile::tempdir_in(on.path()).unwrap();
            let open = |at: &Path| driver::open(Some(name), at).map_err(SubjectError::of("open a driver in", at));
            let campaign = Campaign { open: &open, laws: &laws(), place: place.path().to_owned() };
            let mut counts = Counts::default();
            for seed in 1..=CASES {
                if let Err(failure) = campaign.run(seed, &mut counts) {
                    let parts: Vec<String> = failure.parts.iter().map(|part| format!("{part:?}")).collect();
                    panic!("{name}, seed {seed}: {:#?}\n{}", failure.broken, parts.join("\n"));
                }
            }
            for law in laws() {
                assert!(counts.judgements_of(law) > CASES / 2, "{law} had little to judge of {name}");
            }
        })
        .join()
        .unwrap();
    }
}
