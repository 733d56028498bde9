//! The command `layerlab` with a bug of the catalogue in its storage driver. Which one stands behind the end of the program: it is put
//! where nothing of the host's environment comes.

use std::process::ExitCode;
use std::sync::OnceLock;

use layerlab_bugs::bug::{Bug, Home};
use layerlab_bugs::pages::sealed;
use layerlab_bugs::{catalogue, seeded};
use layerlab_engine::driver::{self, Driver};

static BUG: OnceLock<&'static dyn Bug> = OnceLock::new();

/// The driver that the bug is at home in has it, others are as they are.
fn around(right: Box<dyn Driver>) -> Box<dyn Driver> {
    match BUG.get() {
        Some(bug) if bug.home() == Home::Driver(right.name()) => seeded::seeded(*bug, right),
        _ => right,
    }
}

fn main() -> ExitCode {
    let sealed = match sealed() {
        Ok(sealed) => sealed,
        Err(error) => {
            eprintln!("layerlab-seeded: cannot read which bug it has: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(entry) = catalogue::all().into_iter().find(|entry| Some(&entry.name) == sealed.as_ref()) {
        BUG.get_or_init(|| entry.bug);
    }
    driver::put_around_all(around);
    layerlab_engine::cli::main()
}
