//! What every storage driver promises, each promise once, asked of each driver on each file system.
//!
//! `cargo xtask contract` runs it and writes `snapshots/contract.md`. A test is called `DRIVER on BACKING: promise`. Those that this
//! machine cannot ask are skipped with the reason.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use layerlab_engine::driver::{self, KNOWN, btrfs, fuse_overlayfs};
use layerlab_properties::backing::{Backing, BackingError, LOOP_TYPES, Place};
use layerlab_properties::contract::{self, Scene};
use layerlab_properties::enter::in_namespaces;
use layerlab_scenarios::skip::{leave_out, skip};
use libtest_mimic::{Arguments, Trial};

/// The file system of an ordinary user's namespace, as the table has it.
const OF_A_USER: &str = "tmpfs of a user";
/// What is asked outside of such a namespace only: nobody in one sets parameters of the kernel's modules, or makes a file immutable.
const OF_THE_MACHINE: [&str; 2] =
    ["the_kernels_defaults_decide_nothing", "files_that_are_immutable_do_not_stop_a_removal"];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if arguments.list {
        return libtest_mimic::run(&arguments, Vec::new()).exit_code();
    }
    // What an ordinary user gets is asked of root, too: a namespace in which one has other mounts.
    let of_a_user = match rustix::process::geteuid().is_root() {
        true => in_namespaces(true, |_| {
            let Some((place, alone)) = made(&Backing::Tmpfs).zip(made(&Backing::Tmpfs)) else { return 0 };
            let is_machines = |trial: &Trial| OF_THE_MACHINE.iter().any(|name| trial.name().ends_with(name));
            let trials = trials(OF_A_USER, place.path(), &alone).into_iter().filter(|trial| !is_machines(trial));
            u8::from(libtest_mimic::run(&arguments, trials.collect()).has_failed())
        }),
        false => Ok(0),
    };
    // The mounts are this process's own, and end with it.
    let entered = in_namespaces(false, |_| {
        let backings = std::iter::once(Backing::Tmpfs).chain(LOOP_TYPES.map(Backing::Loop));
        // Each is unmounted when all is done.
        let places: Vec<_> =
            backings.filter_map(|backing| Some((backing.to_string(), [made(&backing)?, made(&backing)?]))).collect();
        let of_places = places.iter().flat_map(|(backing, [place, alone])| trials(backing, place.path(), alone));
        // It is no promise, and what asks for those in JSON wants no more.
        let table = arguments.format.is_none().then(|| Trial::test("the table has every promise", has_every_promise));
        let trials = of_places.chain(table).collect();
        let conclusion = libtest_mimic::run(&arguments, trials);
        u8::from(conclusion.has_failed())
    });
    let statuses = [of_a_user, entered].map(|entered| {
        entered.unwrap_or_else(|error| {
            skip("user", &format!("{error:#}"));
            0
        })
    });
    ExitCode::from(statuses[0].max(statuses[1]))
}

/// `snapshots/contract.md` has a row for each promise and a column for each driver, and nothing in it is broken.
fn has_every_promise() -> Result<(), libtest_mimic::Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../snapshots/contract.md");
    let text = std::fs::read_to_string(path)?;
    let rows = text.lines().filter(|line| line.starts_with('|'));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect();
    let mut drivers: Vec<&str> = KNOWN.iter().filter(|known| known.is_built_in()).map(|known| known.name).collect();
    let mut names: Vec<String> = contract::ALL.iter().map(|promise| promise.name.replace('_', " ")).collect();
    drivers.sort_unstable();
    names.sort();
    assert_eq!(rows[0][1..], drivers, "cargo xtask contract");
    assert_eq!(rows[2..].iter().map(|row| row[0]).collect::<Vec<_>>(), names, "cargo xtask contract");
    // A cell says why there is nothing to ask, or on what it was asked: on all that the driver can lie on.
    for row in &rows[2..] {
        for (driver, cell) in drivers.iter().zip(&row[1..]) {
            let is_machines = OF_THE_MACHINE.iter().any(|name| name.replace('_', " ") == row[0]);
            let all = match *driver {
                btrfs::NAME => "btrfs".to_owned(),
                _ if is_machines => "btrfs, ext4, tmpfs, xfs".to_owned(),
                _ => format!("btrfs, ext4, tmpfs, {OF_A_USER}, xfs"),
            };
            let is_declared = cell.len() > 2 && cell.starts_with('*') && cell.ends_with('*');
            assert!(is_declared || *cell == all, "{} with {driver}: {cell}: cargo xtask contract", row[0]);
        }
    }
    Ok(())
}

fn made(backing: &Backing) -> Option<Place> {
    match backing.make() {
        Ok(place) => Some(place),
        Err(BackingError::Unavailable { backing, reason }) => {
            let is_root = rustix::process::geteuid().is_root() && is_first_namespace();
            skip(if is_root { &backing } else { "root" }, &format!("the contract on {backing}: {reason}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn is_first_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Every promise of every driver that can lie below `place`; on `alone` is one at a time.
fn trials(backing: &str, place: &Path, alone: &Place) -> Vec<Trial> {
    let mut trials = Vec::new();
    let alone = Arc::new(Mutex::new(alone.path().to_owned()));
    for known in KNOWN.iter().filter(|known| known.is_built_in()) {
        if let Some(why) = driver::refusal(known.name, place) {
            let why = format!("the contract of {} on {backing}: {why}", known.name);
            match known.name {
                fuse_overlayfs::NAME => skip(fuse_overlayfs::NAME, &why),
                btrfs::NAME if backing != btrfs::NAME => leave_out(&why),
                btrfs::NAME => skip(btrfs::NAME, &why),
                _ => skip("overlay", &why),
            }
            continue;
        }
        for promise in contract::ALL {
            let (place, alone, driver) = (place.to_owned(), Arc::clone(&alone), known.name);
            let name = format!("{driver} on {backing}: {}", promise.name);
            if let Some(why) = promise.not_asked(driver) {
                eprintln!("declared: {name}: {why}");
                continue;
            }
            trials.push(Trial::test(name, move || {
                let held = promise.is_alone().then(|| alone.lock().unwrap_or_else(PoisonError::into_inner));
                (promise.holds)(&Scene::begin(driver, held.as_deref().unwrap_or(&place)));
                Ok(())
            }));
        }
    }
    trials
}
