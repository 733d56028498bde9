//! Detectors that draw nothing and are asked once: the promises of the drivers' contract, and situations.
//!
//! *Holds*: a promise that ends in the middle leaves no mount behind. *Never*: what changes the machine for everybody, since other bugs are looked
//! for meanwhile.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Once};
use std::time::Instant;

use layerlab_engine::driver;
use layerlab_properties::contract::{self, Promise, Scene, mounts_below};
use layerlab_properties::machine::Host;
use layerlab_properties::situations;
use layerlab_properties::subjects::Subject;
use layerlab_scenarios::skip::skip;
use nix::mount::{MntFlags, umount2};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::bug::{Bug, Home, ThroughFuse};
use crate::hunt::Kill;
use crate::outward::fuse::behind::Behind;
use crate::outward::fuse::serve::DEVICE;
use crate::seeded::{Seeded, seeded};

/// The promises that are asked of a driver.
fn promises() -> impl Iterator<Item = &'static Promise> {
    contract::ALL.iter().filter(|promise| !promise.is_alone() && !promise.is_everybodys())
}

/// Every one of them, by name.
pub fn detectors() -> Vec<&'static str> {
    let situations = situations::chosen(&[]).into_iter().map(|situation| situation.name());
    promises().map(|promise| promise.name).chain(situations).collect()
}

/// All that see `bug` of those that are wanted; as [`crate::hunt::hunt`], whose thread it is, has it.
pub fn ask(
    name: &str,
    bug: &'static dyn Bug,
    host: &Host,
    place: &Path,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Vec<Kill> {
    let mut kills: Vec<Kill> = broken_promises(bug, place, is_wanted).collect();
    let through = through_fuse(bug);
    for situation in situations::chosen(&[]).into_iter().filter(|situation| is_wanted(situation.name())) {
        let Some(seeded) = Seeded::of(name, bug) else { break };
        let subject: Box<dyn Subject> = match through {
            Some(through) => Box::new(Behind::new(seeded, through)),
            None => Box::new(seeded),
        };
        kills.extend(seen(situation.name(), || situation.hold(&*subject, host, place, &|_, _| ()).map(drop)));
    }
    kills
}

/// The promises of drivers that do not hold where `bug` is, of those that are wanted; each is asked when the one before has been looked at.
pub fn broken_promises<'a>(
    bug: &'static dyn Bug,
    place: &'a Path,
    is_wanted: &'a dyn Fn(&str) -> bool,
) -> impl Iterator<Item = Kill> + 'a {
    let driver = match bug.home() {
        Home::Driver(driver) | Home::Store(driver) => Some(driver),
        Home::Mount(_) => None,
    };
    driver.into_iter().flat_map(move |driver| {
        let wanted = promises().filter(|promise| is_wanted(promise.name));
        let asked = wanted.filter(move |promise| promise.not_asked(driver).is_none());
        asked.filter_map(move |promise| seen(promise.name, || holds(promise, bug, driver, place)))
    })
}

/// Who sees something, if what is asked does not hold.
fn seen(detector: &'static str, held: impl FnOnce() -> Result<(), Vec<String>>) -> Option<Kill> {
    let began = Instant::now();
    let findings = held().err()?;
    Some(Kill { detector, cases: 1, taken: began.elapsed(), steps: Vec::new(), findings })
}

/// How the situations of a mount reach the bug: they make real system calls, which only FUSE shows it.
fn through_fuse(bug: &dyn Bug) -> Option<ThroughFuse> {
    let through = matches!(bug.home(), Home::Mount(_)).then(|| bug.through_fuse())?;
    let is_shown = through == ThroughFuse::Gated;
    if is_shown && !Path::new(DEVICE).exists() {
        skip("fuse", "there is no /dev/fuse, through which situations meet the bugs of a mount");
        return None;
    }
    is_shown.then_some(through)
}

/// Whether a promise holds of a driver with a bug.
fn holds(promise: &Promise, bug: &'static dyn Bug, driver: &'static str, place: &Path) -> Result<(), Vec<String>> {
    let place = tempfile::tempdir_in(place).map_err(|error| vec![error.to_string()])?;
    let open = move |root: &Path| match driver::open(Some(driver), root) {
        Ok(right) => seeded(bug, right),
        Err(error) => panic!("cannot open {driver}: {error}"),
    };
    // Promises make files as most programs do; a thread of cases has no mask.
    let mask = umask(Mode::from_raw_mode(0o022));
    let held = quietly(|| (promise.holds)(&Scene::with(driver, place.path(), Arc::new(open))));
    umask(mask);
    for mount in mounts_below(place.path()) {
        // The fifth field of mountinfo is where it is (proc(5)).
        if let Some(at) = mount.split(' ').nth(4)
            && let Err(errno) = umount2(at, MntFlags::MNT_DETACH)
        {
            eprintln!("layerlab-bugs: cannot unmount {at}: {errno}");
        }
    }
    held.map_err(|said| vec![said])
}

thread_local! {
    /// Whether what a panic says is a finding, and told as such.
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `act` says when it panics, which nobody else is told.
fn quietly(act: impl FnOnce()) -> Result<(), String> {
    static HOOKED: Once = Once::new();
    HOOKED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !IS_CAUGHT.get() {
                others(info);
            }
        }));
    });
    IS_CAUGHT.set(true);
    let held = panic::catch_unwind(AssertUnwindSafe(act));
    IS_CAUGHT.set(false);
    held.map_err(|said| match said.downcast::<String>() {
        Ok(said) => *said,
        Err(said) => said.downcast::<&str>().map_or_else(|_| "it panics".to_owned(), |said| (*said).to_owned()),
    })
}
