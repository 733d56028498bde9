//! This engine as it is, without a bug: nobody sees anything. `cargo xtask mutants` asks the same of the engine with one place changed at a time.
//!
//! *Why*: what a detector is worth shows in changes that nobody chose. *Holds*: what is asked is the same each time, what is quick and sees much
//! comes first, and the first who sees something ends it, and is named. *Never*: a file outside of memory that is mounted for this, or a
//! process that outlives it: a changed engine may remove, write and wait for anything.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use layerlab_bugs::asked::broken_promises;
use layerlab_bugs::bug::{Bug, Home};
use layerlab_bugs::hunt::{Effort, Kill, MEMORY, Until, hunt};
use layerlab_properties::alone::alone;
use layerlab_properties::backing::{Backing, BackingError};
use layerlab_properties::case::prepare_thread;
use layerlab_properties::machine::Host;
use layerlab_scenarios::skip::skip;
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::mount::{MountFlags, mount, mount_remount};
use rustix::process::{Resource, Rlimit, setrlimit};

/// Says how many cases are drawn on `overlay2`; on other drivers a part of them.
const CASES_VARIABLE: &str = "LAYERLAB_CASES";
/// Enough to see that it runs.
const FEW_CASES: u64 = 2;
/// A law of layers that are received: their cases are drawn apart, too, since so many of them take as long as one of another kind.
const RECEIVED: &str = "received-layers-give-the-models-tree";
/// More memory than this is a loop that does not end.
const MEMORY_MAX_BYTES: u64 = 2 << 30;
/// The same of files.
const FILES_MAX: &std::ffi::CStr = c"size=2g,mode=1777";

struct Nothing(&'static str);

impl Bug for Nothing {
    fn home(&self) -> Home {
        Home::Driver(self.0)
    }
}

/// Drivers that every machine can have.
static IN_MEMORY: [Nothing; 3] = [Nothing("overlay2"), Nothing("vfs"), Nothing("overlay")];
static FUSE: Nothing = Nothing("fuse-overlayfs");
static ON_BTRFS: Nothing = Nothing("btrfs");

/// The engine is not asked: what it says may be what was changed.
fn no_fuse() -> Option<&'static str> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = env::split_paths(&path).any(|directory| directory.join("fuse-overlayfs").is_file());
    (!is_there || !Path::new("/dev/fuse").exists()).then_some("there is no fuse-overlayfs, or no /dev/fuse")
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = || vec![Trial::test("nobody_sees_anything_in_the_engine_as_it_is", nobody_sees_anything)];
    if arguments.list {
        return libtest_mimic::run(&arguments, trials()).exit_code();
    }
    if !rustix::process::geteuid().is_root() {
        skip("root", "drivers are asked in mounts that only root can make");
        return ExitCode::SUCCESS;
    }
    match alone(|_| u8::from(libtest_mimic::run(&arguments, trials()).has_failed())) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn nobody_sees_anything() -> Result<(), Failed> {
    let cases = env::var(CASES_VARIABLE).map_or(FEW_CASES, |cases| cases.parse().unwrap());
    let memory = Path::new(MEMORY);
    mount("layerlab-unseeded", memory, "tmpfs", MountFlags::empty(), FILES_MAX).unwrap();
    tempfile::env::override_temp_dir(memory).unwrap();
    let on_btrfs = match Backing::Loop("btrfs").make() {
        Err(BackingError::Unavailable { backing, reason }) => {
            skip(&backing, &reason);
            None
        }
        made => Some(made?),
    };
    let lacks = no_fuse();
    lacks.into_iter().for_each(|why| skip("fuse-overlayfs", why));
    // Now that all skips are noted.
    only_memory_can_be_written();
    setrlimit(Resource::Data, Rlimit { current: Some(MEMORY_MAX_BYTES), maximum: Some(MEMORY_MAX_BYTES) }).unwrap();
    prepare_thread().unwrap();
    for driver in &IN_MEMORY {
        asked(driver, memory, cases)?;
    }
    if lacks.is_none() {
        asked(&FUSE, memory, cases)?;
    }
    on_btrfs.map_or(Ok(()), |place| asked(&ON_BTRFS, place.path(), cases))
}

/// Nothing that is mounted elsewhere can be written any more, by this process and its children.
fn only_memory_can_be_written() {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let elsewhere = mounts.lines().filter_map(|line| line.split(' ').nth(4)).filter(|at| !at.starts_with(MEMORY));
    for at in elsewhere {
        // What lies below another mount is not reached by its path, and need not be.
        let _ = mount_remount(at.replace("\\040", " "), MountFlags::BIND | MountFlags::RDONLY, c"");
    }
    // One may lie where memory is mounted now.
    for place in [Path::new("/"), Path::new(env!("CARGO_MANIFEST_DIR"))].into_iter().filter(|place| place.exists()) {
        let refused = fs::write(place.join("layerlab-unseeded"), "").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ReadOnlyFilesystem, "{}", place.display());
    }
    env::set_current_dir(MEMORY).unwrap();
}

/// The first who sees anything in a driver as it is, as an error.
fn asked(driver: &'static Nothing, place: &Path, cases: u64) -> Result<(), Failed> {
    let host = Host::probe(true).on(place)?;
    // Most of what others do is the same code; a program is slow.
    let (cases, received) = match driver.0 {
        "overlay2" => (cases, 16 * cases),
        "fuse-overlayfs" => (1, 0),
        _ => (cases.div_ceil(8), 2 * cases),
    };
    let effort = Effort { cases_max: cases, is_short: false, ..Effort::default() };
    let received = Effort { cases_max: received, until: Until::This(RECEIVED), ..effort };
    let hunted = |effort| hunt("no bug", driver, &host, place, effort).into_iter().next();
    let first =
        broken_promises(driver, place, &|_| true).next().or_else(|| hunted(received)).or_else(|| hunted(effort));
    first.map_or(Ok(()), |Kill { detector, findings, .. }| {
        Err(format!("seen by {detector}, on {}:\n{}", driver.0, findings.join("\n")).into())
    })
}
