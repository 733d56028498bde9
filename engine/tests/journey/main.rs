//! Everything that a file can have survives pull, run, change, commit, save, removal, load and run, on each storage driver.
//!
//! What a station loses stands in `losses.rs`, and a real dockerd loses it too: it makes the same journey. A test is called after who travels
//! and on which driver; inside the lab this program is the traveller.
//!
//! Checklist: N-09~, XA-12

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod goods;
#[path = "../lab/mod.rs"]
mod lab;
mod losses;
mod made;
mod node;
mod packed;
mod road;
mod seen;

use std::process::ExitCode;

use layerlab_engine::driver::{Deviation, KNOWN};
use layerlab_scenarios::page::DRIVERS;
use layerlab_scenarios::skip::skip;
use libtest_mimic::{Arguments, Failed, Trial};

use goods::Ability;
use lab::{SKIPPED, lab, text};
use losses::Losses;
use road::Engine;

/// The first argument of whoever travels, inside.
const TRAVELLER: &str = "traveller";

/// Who travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Root,
    User,
    /// A real one.
    Dockerd,
    /// An image of ours goes through a dockerd.
    ByDockerd,
}

const ALL: [(Who, &str); 4] = [
    (Who::Root, "root"),
    (Who::User, "an ordinary user"),
    (Who::Dockerd, "dockerd"),
    (Who::ByDockerd, "carried by dockerd"),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let [_, first, who, driver] = &words[..]
        && first == TRAVELLER
    {
        return travel(who, driver);
    }
    let arguments = Arguments::from_args();
    let trials = ALL.into_iter().flat_map(|(who, name)| {
        let drivers = DRIVERS.into_iter().filter(move |driver| match who {
            Who::Root => true,
            Who::User => *driver != "btrfs",
            Who::Dockerd | Who::ByDockerd => *driver == DRIVERS[0],
        });
        drivers.map(move |driver| Trial::test(format!("{name} on {driver}"), move || outside(who, name, driver)))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Enters a lab and sends the traveller on the way.
fn outside(who: Who, name: &str, driver: &str) -> Result<(), Failed> {
    if who != Who::User && !rustix::process::geteuid().is_root() {
        skip("root", "devices and great numbers of owners need root");
        return Ok(());
    }
    let program = std::env::current_exe()?;
    let traveller = program.file_name().unwrap();
    let mut lab = lab();
    lab.args(["shell", "--driver", driver, "--program"]).arg(&program);
    let wanting = match who {
        Who::Dockerd | Who::ByDockerd => {
            lab.args(["--on", "docker", "--beside", "layerlab"]);
            "docker"
        }
        Who::User => {
            lab.arg("--rootless");
            if driver == "fuse-overlayfs" { "fuse-overlayfs" } else { "user" }
        }
        Who::Root if matches!(driver, "btrfs" | "fuse-overlayfs") => driver,
        Who::Root => "user",
    };
    let output = lab.arg(traveller).args([TRAVELLER, name, driver]).output()?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(SKIPPED) => {
            skip(wanting, &text(&output));
            Ok(())
        }
        _ => Err(text(&output).into()),
    }
}

/// Inside.
fn travel(who: &str, driver: &str) -> ExitCode {
    let who = ALL.iter().find(|(_, name)| *name == who).unwrap().0;
    let driver = DRIVERS.into_iter().find(|known| *known == driver).unwrap();
    let known = KNOWN.iter().find(|known| known.name == driver).unwrap();
    let able = Ability {
        is_root: who != Who::User,
        has_owners: has_owners(),
        keeps_holes: who != Who::Dockerd && !known.deviates(Deviation::NoHoles),
        is_kernels: !known.deviates(Deviation::CopiesLoseAttributes),
        keeps_overlay_xattrs: !known.deviates(Deviation::NoOverlayXattrs)
            && (known.deviates(Deviation::MountsNothing) || shows_escaped_xattrs()),
        fills_whiteouts: !matches!(who, Who::Dockerd | Who::ByDockerd),
    };
    let losses = Losses { is_dockerd: who == Who::Dockerd, known, is_root: able.is_root };
    let travelled = match who {
        Who::ByDockerd => road::carried(Ability { keeps_holes: false, ..able }, &losses),
        _ => road::travel(&Engine::of_the_lab(), able, &losses),
    };
    match travelled {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            println!("{fault}");
            ExitCode::FAILURE
        }
    }
}

/// Whether an overlay shows a file's own xattr that has the name of one of the overlay's: since Linux 6.7.
fn shows_escaped_xattrs() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    (numbers.next(), numbers.next()) >= (Some(6), Some(7))
}

/// Whether this user namespace has more than a single ID.
fn has_owners() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum::<u64>() > 1000
}
